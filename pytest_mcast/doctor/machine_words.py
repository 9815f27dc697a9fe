"""What the doctor says of a machine: lines of text, the most important last, where a terminal shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .facts import Facts, NotRead
from .machine import Health
from .machine_checks.asking import FAMILIES, GROUPS, is_loopback
from .printable import in_shell, wrapped

__all__ = ["Line", "Style", "words"]

Style = Literal["", "heading", "good", "bad", "doubtful"]
_COMMAND = re.compile(r"(.*?): ((?:bridge|ip|nft|sysctl|tc) [^:].*)", re.DOTALL)
_CONFIDENCE: dict[str, Style] = {"certain": "bad", "likely": "bad", "possible": "doubtful"}
_PROTOCOLS = {"ipv4": "IGMP", "ipv6": "MLD"}
_LIMITS = (
    "net.ipv4.igmp_max_memberships",
    "net.ipv4.igmp_max_msf",
    "net.ipv6.mld_max_msf",
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.optmem_max",
)


@dataclass(frozen=True)
class Line:
    """One line, and what it is: that decides its colour."""

    text: str
    style: Style = ""


def words(health: Health, width: int = 80) -> list[Line]:
    """Say all that is known of a machine, in lines of at most ``width`` columns (where words are short enough)."""
    lines: list[Line] = []
    refused: set[str] = set()
    sections: tuple[tuple[str, Callable[[Facts], Iterable[str]]], ...] = (
        ("system", _system),
        ("interfaces", _interfaces),
        ("groups that name no interface", _ways),
        ("queriers", _queriers),
        ("bridges", _bridges),
        ("packet filter", _filter),
        ("limits", _limits),
        ("private network (pytest-mcast run, pytest --mcast-lab)", _private),
    )
    for heading, section in sections:
        try:
            told = list(section(health.facts))
        except NotRead as missing:
            if missing.what not in health.facts.snapshot.readings:
                continue  # there is no such thing on this system
            told = [f"not read: {missing}"]
            refused.add(str(missing))
        if told:
            lines.append(Line(heading, "heading"))
            lines += [Line(line) for text in told for line in _wrap(text, width)]
    return [*lines, *_unchecked(health, refused, width), *_findings(health, width), *_verdicts(health, width)]


def _wrap(text: str, width: int, hang: int = 4, start: int = 2) -> list[str]:
    # An address or a path is not broken.
    return wrapped(text, width, " " * start, " " * (start + hang), break_long_words=False)


def _system(facts: Facts) -> Iterator[str]:
    machine = facts.read("machine")
    yield f"{machine['system']} {machine['release']}, {machine['machine']}, Python {machine['python']}"
    try:
        place = facts.read("container")
    except NotRead:
        return
    for key, said in (("container", "in a container of {}"), ("wsl", "{}"), ("vm", "in a virtual machine, {}")):
        if place[key] is not None:
            kind, seen = place[key]
            yield f"{said.format(kind)} ({seen})"
    who = "root" if place["user"] == 0 else f"user {place['user']}, not root"
    yield who + (", in a user namespace" if place["user_namespace"] else "")
    absent = [name for name, path in facts.read("programs").items() if path is None]
    if absent:
        yield f"not on PATH: {', '.join(absent)}"


def _interfaces(facts: Facts) -> Iterator[str]:
    try:
        tried: Mapping[str, Any] = facts.read("tried")
    except NotRead:
        tried = {"interface": None, "capabilities": {}}
    others, down = [], []
    for link in facts.links():
        if "up" not in link["flags"] and link["name"] != tried["interface"]:
            down.append(link["name"])
            continue
        yield f"{link['name']}: {', '.join(_traits(facts, link))}"
        addresses = [f"{each['address']}/{each['prefix']}" for each in facts.addresses(link["name"])]
        yield f"  {' '.join(addresses) or 'no address'}"
        if link["name"] == tried["interface"]:
            yield f"  tried: {_fitness(tried['capabilities'])}"
        else:
            others.append(link["name"])
    if down:
        yield f"down: {' '.join(down)}"
    if others:
        yield f"not tried: {' '.join(others)}; name one with --iface"


def _traits(facts: Facts, link: Mapping[str, Any]) -> Iterator[str]:
    if link["kind"]:
        yield link["kind"]
    yield from (flag for flag in ("up", "loopback", "multicast", "pointopoint") if flag in link["flags"])
    if "up" not in link["flags"]:
        yield "down"
    elif not link["carrier"]:
        yield "no carrier"
    if "multicast" not in link["flags"] and not is_loopback(link):
        yield "no multicast"
    yield f"mtu {link['mtu']}"
    try:
        version = facts.igmp_version(link["name"])
        strict = facts.conf("ipv4", link["name"], "rp_filter")
    except NotRead:
        return
    if version is not None:
        yield f"IGMPv{version}"
    if strict:
        yield f"rp_filter {strict}"


def _fitness(verdicts: Mapping[str, Any]) -> str:
    answers = {
        name: "yes" if each is None else "NO" for name, each in verdicts.items() if name.partition("-")[0] in FAMILIES
    }
    return ", ".join(f"{name} {answer}" for name, answer in answers.items())


def _ways(facts: Facts) -> Iterator[str]:
    for family, name in FAMILIES.items():
        answer = facts.route_to(GROUPS[family])
        if "error" in answer:
            yield f"{name}: no way ({answer['error']})"
        else:
            source = f" from {answer['source']}" if answer["source"] else ""
            yield f"{name}: by {answer['interface']}{source}"


def _queriers(facts: Facts) -> Iterator[str]:
    heard = facts.read("queriers")
    listened = f"none heard in {heard['waited_s']:g} s" if heard["waited_s"] else "not listened for"
    proof = "there is none" if heard["proof"] else listened
    for interface, families in heard["interfaces"].items():
        told = []
        for family, query in families.items():
            name = _PROTOCOLS[family]
            if query is None:
                told.append(f"{name} {proof}")
            else:
                every = f", every {query['interval_s']} s" if query["interval_s"] else ""
                told.append(f"{name}v{query['version']} from {query['source']}{every}")
        yield f"{interface}: {'; '.join(told)}"
    missing = [query is None for families in heard["interfaces"].values() for query in families.values()]
    if any(missing) and not heard["proof"]:
        yield "--wait 130 proves that there is none"


def _bridges(facts: Facts) -> Iterator[str]:
    for link in facts.links():
        bridge = link.get("bridge")
        if bridge is None:
            continue
        ports = [each["name"] for each in facts.links() if each["master"] == link["index"]]
        yield (
            f"{link['name']}: snooping {'on' if bridge['snooping'] else 'off'}, "
            f"querier {'on' if bridge['querier'] else 'off'}, ports {' '.join(ports) or 'none'}"
        )
        try:
            nf = [
                name for name in ("iptables", "ip6tables") if facts.sysctl(f"net.bridge.bridge-nf-call-{name}") == "1"
            ]
        except NotRead:
            continue
        if nf:
            yield f"  forwarded frames pass {' and '.join(nf)} (bridge-nf-call)"


def _filter(facts: Facts) -> Iterator[str]:
    listing = facts.firewall()
    rules = sum("rule" in each for each in listing)
    chains = [each["chain"] for each in listing if "hook" in each.get("chain", {})]
    hooks = [f"{each['family']} {each['table']} {each['name']} ({each.get('policy', 'accept')})" for each in chains]
    yield f"nftables: {rules} rules; {', '.join(hooks)}" if hooks else "nftables: no rules"
    legacy = facts.read("firewall_legacy")
    if legacy:
        yield f"legacy tables, not read: {', '.join(legacy)}"


def _limits(facts: Facts) -> Iterator[str]:
    found = []
    for name in _LIMITS:
        try:
            found.append(f"{name.rpartition('.')[2]} {facts.sysctl(name)}")
        except NotRead:  # not of this network namespace
            continue
    soft, hard = facts.read("settings")["open files"]
    yield ", ".join([*found, f"open files {soft} (hard limit {hard})"])


def _private(facts: Facts) -> Iterator[str]:
    missing = facts.read("private network")
    if missing is None:
        yield "yes"
    else:
        yield f"NO: {missing['reason']}"
        yield f"cure: {missing['remedy']}"


def _unchecked(health: Health, refused: Container[str], width: int) -> Iterator[Line]:
    """Say which checks could not be asked, unless it was said above that what they read could not be read."""
    reasons: dict[str, list[str]] = {}
    for check, reason in health.unchecked.items():
        if reason not in refused:
            reasons.setdefault(reason, []).append(check)
    if reasons:
        yield Line("not checked", "heading")
    for reason, checks in reasons.items():
        yield from (Line(line) for line in _wrap(f"{', '.join(checks)}: {reason}", width))


def _findings(health: Health, width: int) -> Iterator[Line]:
    if health.findings:
        yield Line("findings", "heading")
    windows = health.facts.system == "win32"
    for finding in health.findings:
        style = _CONFIDENCE[finding.confidence]
        yield from (Line(line, style) for line in _wrap(f"{finding.confidence}: {finding.cause}", width))
        for seen in finding.evidence:
            yield from (Line(line) for line in _wrap(f"seen: {seen}", width, hang=6, start=4))
        yield from (Line(line) for line in _wrap(f"cure: {finding.cure}", width, hang=6, start=4))
        # A line for each, so that it can be copied; one that is too long is continued as the shell has it.
        for command in finding.command.splitlines():
            yield from (Line(line) for line in in_shell(command, width, 10, windows=windows))


def _verdicts(health: Health, width: int) -> Iterator[Line]:
    if not health.verdicts:
        return
    where = f"on {health.facts.read('tried')['interface']}"
    yield Line(f"capabilities {where}", "heading")
    said: dict[str, str] = {}
    same: dict[tuple[str, str], str] = {}
    for name, missing in health.verdicts.items():
        if missing is None:
            yield Line(f"  {name:11} yes", "good")
            continue
        reason = missing["reason"].removeprefix(f"{name} multicast does not work {where} (")
        reason = reason.removesuffix(")") if reason != missing["reason"] else reason
        other = same.setdefault((reason, missing["remedy"]), name)
        if other != name:
            yield Line(f"  {name:11} NO: as {other}", "bad")
            continue
        yield from (Line(line, "bad") for line in _wrap(f"{name:11} NO: {reason}", width, hang=12))
        first = said.setdefault(missing["remedy"], name)
        yield from (Line(line) for line in _remedy(missing["remedy"] if first == name else f"that of {first}", width))
    lacking = [name for name, missing in health.verdicts.items() if missing is not None]
    findings = len(health.findings)
    what = (
        f"{len(lacking)} of {len(health.verdicts)} capabilities are missing"
        if lacking
        else "all capabilities are there"
    )
    nothing = "nothing else was found" if lacking else "nothing wrong was found"
    found = nothing if not findings else f"{findings} finding{'s' * (findings > 1)} above"
    yield Line("")
    yield Line(f"{what}; {found}", "bad" if lacking else "doubtful" if findings else "good")


def _remedy(remedy: str, width: int) -> Iterator[str]:
    """Say a cure; the command that ends it has lines of its own."""
    found = _COMMAND.match(remedy)
    yield from _wrap(f"cure: {remedy if found is None else found[1]}", width, hang=6, start=14)
    if found is not None:
        yield from in_shell(found[2], width, 20)
