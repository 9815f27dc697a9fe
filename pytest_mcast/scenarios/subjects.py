"""The implementations of scenario files: found by name, of the version that is wanted, and believed after a self-check."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import McastError
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.cores import CoreFailure, ExternalSender, find_any, find_core, self_check
from pytest_mcast.cores.builtin import BuiltInCore
from pytest_mcast.cores.programs import DescribedProgram

from .outcomes import Excused, Unready

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mcast.core.channels import Channel
    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.hosts import Host
    from pytest_mcast.lab.view import HostPool

    from .model import SubjectSpec
    from .stage import Station

__all__ = ["Subjects"]

_BUILTIN = "builtin"


class Subjects:
    """What files name, made once per process. ``pool`` gives hosts for self-checks, ``more`` are cores of plugins."""

    def __init__(self, pool: Callable[[], HostPool], more: Sequence[ReceiveCore] = (), *, timeout: float = 5.0) -> None:
        self._pool = pool
        self._more = more
        self._timeout = timeout
        self._receivers: dict[str, ReceiveCore] = {}
        self._senders: dict[str, ExternalSender] = {}
        self._checked: dict[tuple[ReceiveCore, str, str, str], CoreFailure | None] = {}
        self._remote_versions: dict[tuple[DescribedProgram, Host], str] = {}

    def receiver(self, spec: SubjectSpec, family: str, mode: str, station: Station) -> ReceiveCore | None:
        """Return the receive core of a subject on a host, checked and believed; None for that of this package.

        Raises ``Excused`` when it is not for that kind of channel, ``MissingCapability`` when it is not there, and
        ``Unready`` when it is of another version, or fails its self-check.
        """
        if spec.receiver is None:
            raise Excused("unsupported", f"{spec.name} has no receiver")
        core = self._receiver(spec.receiver)
        if core is None:
            self._check_version(spec, _BUILTIN, BuiltInCore.version)
            return None
        can = core.capabilities
        if family not in can.families or mode not in can.modes:
            raise Excused("unsupported", f"{core.name} is not for {family} {mode}")
        self._check_program(spec, core, station)
        self._trust(core, family, mode, station)
        return core

    def sender(self, spec: SubjectSpec, family: str, mode: str, station: Station) -> ExternalSender | None:
        """Return the sender of a subject; None for that of this package. Raises as ``receiver``, but it has no self-check."""
        if spec.sender is None:
            raise Excused("unsupported", f"{spec.name} has no sender")
        sender = self._sender(spec.sender)
        if sender is None:
            self._check_version(spec, _BUILTIN, BuiltInCore.version)
            return None
        if family not in sender.description.families or mode not in sender.description.modes:
            raise Excused("unsupported", f"{sender.name} is not for {family} {mode}")
        self._check_program(spec, sender, station)
        return sender

    def facts(self, spec: SubjectSpec, station: Station | None) -> dict[str, str]:
        """Say what a subject on a host is: ``receiver``, ``sender`` and their ``version``, as far as they are there.

        A machine elsewhere may have others than this one: they are ``receiver version on NAME`` and ``sender version on
        NAME``, if they have been looked at. Without a host there are no versions.
        """
        found: dict[str, str] = {}
        versions: dict[str, str] = {}
        for role, what in (("receiver", spec.receiver), ("sender", spec.sender)):
            if what is None:
                continue
            made = self._receiver(what) if role == "receiver" else self._sender(what)
            found[role] = _BUILTIN if made is None else made.name
            if station is None:
                continue
            if station.remote and isinstance(made, DescribedProgram):
                if (made, station.host) in self._remote_versions:
                    found[f"{role} version on {station.name}"] = self._remote_versions[made, station.host]
                continue
            try:
                versions[found[role]] = BuiltInCore.version if made is None else made.version
            except (McastError, OSError):  # the cells say so
                continue
        if len(set(versions.values())) == 1:
            found["version"] = next(iter(versions.values()))
        elif versions:
            found["version"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        if spec.notes:
            found["notes"] = spec.notes
        return found

    def _receiver(self, what: str) -> ReceiveCore | None:
        if what == _BUILTIN:
            return None
        if what not in self._receivers:
            self._receivers[what] = find_core(what, self._more)
        return self._receivers[what]

    def _sender(self, what: str) -> ExternalSender | None:
        if what == _BUILTIN:
            return None
        if what not in self._senders:
            found = find_any(what)
            if not isinstance(found, ExternalSender):
                raise Unready(f"{what} is a receiver, {found.name}, where a sender belongs")
            self._senders[what] = found
        return self._senders[what]

    def _trust(self, core: ReceiveCore, family: str, mode: str, station: Station) -> None:
        """Have it pass its self-check between virtual hosts of its own; on another kind of host within that."""
        from pytest_mcast.lab.view import LabView

        key = (core, family, mode, "" if station.virtual is not None else station.name)
        if key not in self._checked:
            self._checked[key] = None
            try:
                with LabView(self._pool()) if station.virtual is not None else _Alone(station.host) as hosts:
                    self_check(core, hosts, family, mode, timeout=self._timeout)
            except CoreFailure as failure:
                self._checked[key] = failure
            except BaseException:  # it says nothing about the core
                del self._checked[key]
                raise
        found = self._checked[key]
        if found is not None:
            raise Unready(f"{core.name} cannot be believed for {family} {mode}: {found}")

    def _check_program(self, spec: SubjectSpec, made: ReceiveCore | ExternalSender, station: Station) -> None:
        """Ask it for its version, which shows also that it is there; raises ``MissingCapability`` and ``Unready``."""
        try:
            version = self._version(made, station)
        except CoreFailure as failure:  # of a description, and no verdict on what is described
            if spec.version:
                raise Unready(f"{failure}, and the subject {spec.name} is to be {spec.version}") from None
        else:
            self._check_version(spec, made.name, version)

    def _version(self, made: ReceiveCore | ExternalSender, station: Station) -> str:
        """Return the version of what runs on a host; another machine is asked once."""
        if not isinstance(made, DescribedProgram):
            return made.version
        if not station.remote:
            return made.version_on(station.host)
        key = (made, station.host)
        if key not in self._remote_versions:
            self._remote_versions[key] = made.version_on(station.host)
        return self._remote_versions[key]

    def _check_version(self, spec: SubjectSpec, name: str, version: str) -> None:
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion, Version

        if not spec.version:
            return
        try:
            fits = SpecifierSet(spec.version).contains(Version(version), prereleases=True)
        except InvalidVersion:
            fits = False
        if not fits:
            raise Unready(f"{name} {version} is what runs here, and the subject {spec.name} is to be {spec.version}")


class _Alone:
    """One host as a network: it sends to itself."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._picker = ChannelPicker(secrets.token_bytes(8))

    def hosts(self, count: int) -> list[Host]:
        return [self._host] * count

    def channel(self, family: str, *, source: Host | None = None) -> Channel:
        return self._picker.pick(family, source=None if source is None else source.source(family))

    def __enter__(self) -> _Alone:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._host.close_endpoints()
