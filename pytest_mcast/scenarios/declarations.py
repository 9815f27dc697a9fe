"""What scenario files declare by name: links, routers, hosts, subjects and steps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_mcast.documents import Document, name_of, show

from .errors import ScenarioError, one_of
from .impairments import read_impairment
from .model import DELIVER, HostSpec, LinkSpec, RouterSpec, Step, SubjectSpec
from .paths import Paths
from .sequences import read_sequence

__all__ = ["Declarations", "read_declarations"]

_LAN = "lan"


@dataclass(frozen=True)
class Declarations:
    """What is declared, by name."""

    links: Mapping[str, LinkSpec]
    routers: Mapping[str, RouterSpec]
    hosts: Mapping[str, HostSpec]
    subjects: Mapping[str, SubjectSpec]
    steps: Mapping[str, tuple[Step, ...]]

    @cached_property
    def paths(self) -> Paths:
        """The ways from link to link."""
        return Paths(self.routers)


@dataclass(frozen=True)
class _Item:
    """What a file says under a name, and where."""

    document: Document
    where: list[str]
    value: Any


def read_declarations(documents: Sequence[Document], cores: Sequence[str] = ()) -> Declarations:
    """Read what the files declare, with more receive ``cores`` than those of this package; raises ``ScenarioError`` for a name that is there twice, and for what is unknown."""
    kinds = ("links", "routers", "hosts", "subjects", "steps")
    links, routers, hosts, subjects, steps = (_collect(documents, kind) for kind in kinds)
    if "deliver" in steps:
        item = steps["deliver"]
        text = "steps.deliver: the name 'deliver' is taken by join, then send; choose another one"
        raise item.document.failure(item.where, text, of_key=True)
    known_links = {_LAN: LinkSpec(_LAN)} | {name: _link(name, item) for name, item in links.items()}
    known_hosts = {name: _host(name, item, known_links) for name, item in hosts.items()}
    known_routers = {name: _router(name, item, known_links, hosts) for name, item in routers.items()}
    _check_places(links, known_hosts, known_routers)
    plugged: list[HostSpec | RouterSpec] = [*known_hosts.values(), *known_routers.values()]
    if _LAN not in links and not any(_LAN in one.interfaces.values() for one in plugged):
        del known_links[_LAN]
    sequences = {
        name: read_sequence(item.document, item.where, item.value, list(hosts)) for name, item in steps.items()
    }
    return Declarations(
        known_links,
        known_routers,
        known_hosts,
        {name: _subject(name, item, cores) for name, item in subjects.items()},
        {"deliver": DELIVER, **sequences},
    )


def _collect(documents: Sequence[Document], kind: str) -> dict[str, _Item]:
    found: dict[str, _Item] = {}
    for document in documents:
        for name, value in document.content.get(kind, {}).items():
            where = [kind, name]
            if name in found:
                first = found[name].document
                line, _ = first.position(where, of_key=True)
                text = f"{kind}: the name {show(name)} is in {first.path}, line {line}, already; choose another one"
                raise document.failure(where, text, of_key=True)
            found[name] = _Item(document, where, value)
    return found


def _link(name: str, item: _Item) -> LinkSpec:
    value = item.value
    snooping = value.get("snooping", False)
    for key in ("igmp_version", "mld_version"):
        if key in value and not snooping:
            text = f"links.{name}: {key} is that of a querier, which a link without snooping does not have"
            raise item.document.failure([*item.where, key], text, of_key=True)
    mtu = value.get("mtu")
    return LinkSpec(
        name,
        snooping=snooping,
        igmp_version=int(value.get("igmp_version", LinkSpec.igmp_version)),
        mld_version=int(value.get("mld_version", LinkSpec.mld_version)),
        mtu=None if mtu is None else int(mtu),
        impair={
            place: read_impairment(item.document, [*item.where, "impair", place], what)
            for place, what in value.get("impair", {}).items()
        },
    )


def _check_places(links: Mapping[str, _Item], hosts: Mapping[str, HostSpec], routers: Mapping[str, RouterSpec]) -> None:
    """Raise ``ScenarioError`` where a cable is impaired over which nothing goes."""
    for name, item in links.items():
        there = [host.name for host in hosts.values() if host.link == name]
        there += [router.name for router in routers.values() if name in router.interfaces.values()]
        for place in item.value.get("impair", {}):
            where = [*item.where, "impair", place]
            one_of(item.document, where, f"host or router on the link {name} called", place, there, of_key=True)


def _host(name: str, item: _Item, links: Mapping[str, LinkSpec]) -> HostSpec:
    value = {item.value: {}} if isinstance(item.value, str) else item.value
    more: dict[str, Any] = {"requires": tuple(value.get("requires", ())), "notes": value.get("notes", "")}
    if "status" in value:
        return HostSpec(name, value["status"], reason=value["reason"], **more)
    if "remote" in value:
        _check_remote(item, value["remote"])
        return HostSpec(name, "remote", value.get("interface"), remote=value["remote"], **more)
    if "local" in value:
        local = value["local"]
        return HostSpec(name, "local", local.get("interface"), system=local.get("system", ""), **more)
    virtual = value["virtual"]
    inside = [*item.where, "virtual"]
    interface = virtual.get("interface")
    interfaces = virtual.get("interfaces", {} if interface == "lo" else {"eth0": _LAN})
    _check_interfaces(item, [*inside, "interfaces"], interfaces, links)
    if interface is not None:
        one_of(item.document, [*inside, "interface"], "interface", interface, [*interfaces, "lo"])
    return HostSpec(
        name,
        "virtual",
        interface or next(iter(interfaces)),
        interfaces=dict(interfaces),
        sysctl={key: str(setting) for key, setting in virtual.get("sysctl", {}).items()},
        **more,
    )


def _router(name: str, item: _Item, links: Mapping[str, LinkSpec], hosts: Mapping[str, _Item]) -> RouterSpec:
    if name in hosts:
        text = f"{name_of(item.where)}: the name {show(name)} is that of a host already; choose another one"
        raise item.document.failure(item.where, text, of_key=True)
    interfaces = item.value["interfaces"]
    _check_interfaces(item, [*item.where, "interfaces"], interfaces, links)
    return RouterSpec(name, dict(interfaces))


def _check_interfaces(
    item: _Item, inside: list[str], interfaces: Mapping[str, str], links: Mapping[str, LinkSpec]
) -> None:
    for device, link in interfaces.items():
        where = [*inside, device]
        if device == "lo":
            text = f"{name_of(where)}: lo is on no link; leave it out, it is there"
            raise item.document.failure(where, text, of_key=True)
        one_of(item.document, where, "link", link, links)


def _check_remote(item: _Item, text: str) -> None:
    from pytest_mcast.hosts.specification import Specification

    try:
        Specification.parse(text)
    except ValueError as error:
        where = [*item.where, "remote"]
        said = str(error).replace(repr(text), show(text))[:300]
        raise item.document.failure(where, f"{name_of(where)}: {said}") from None


def _subject(name: str, item: _Item, cores: Sequence[str]) -> SubjectSpec:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    value = item.value
    version = value.get("version", "")
    try:
        SpecifierSet(version)
    except InvalidSpecifier:
        where = [*item.where, "version"]
        text = f"{name_of(where)}: {show(version)} does not say which versions, as '>=1.8,<2' does"
        raise item.document.failure(where, text) from None
    return SubjectSpec(
        name,
        receiver=_implementation(item, "receiver", cores) if "receiver" in value else None,
        sender=_implementation(item, "sender", ()) if "sender" in value else None,
        version=version,
        requires=tuple(value.get("requires", ())),
        notes=value.get("notes", ""),
    )


def _implementation(item: _Item, role: str, more: Sequence[str]) -> str:
    """Return a shipped name, or the path of a description that is good and of this kind."""
    from pytest_mcast.cores import DescriptionError, read_description, shipped_cores, shipped_senders  # most have none

    what: str = item.value[role]
    where = [*item.where, role]
    if not what.endswith((".yaml", ".yml")):
        known = [*(shipped_cores() if role == "receiver" else shipped_senders()), *more]
        one_of(item.document, where, role, what, [*known, "FILE.yaml"])
        return what
    path = item.document.path.parent / what
    if not os.path.isfile(path):
        raise item.document.failure(where, f"{name_of(where)}: there is no file {show(what)}")
    try:
        description = read_description(path)
    except DescriptionError as error:
        raise ScenarioError(error.path, error.line, error.column, error.text) from None
    except OSError as error:
        raise item.document.failure(where, f"{name_of(where)}: cannot read {show(what)}: {error.strerror}") from None
    if description.kind != role:
        raise item.document.failure(where, f"{name_of(where)}: {show(what)} describes a {description.kind}, no {role}")
    return str(path.resolve())
