"""Capabilities, each probed by really doing it: never concluded from the user id or the operating system."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.core.errors import HostError, McastError, MissingCapability, ProgramError
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.core.system import LINUX
from pytest_mcast.hosts import LocalHost, RemoteHost

from .diagnosis import diagnose
from .flow import End
from .observation import Observation
from .party import Party, facts_of
from .printable import printable

if TYPE_CHECKING:
    from pytest_mcast.core.channels import Channel
    from pytest_mcast.hosts import Host

__all__ = ["CAPABILITIES", "probe_channel", "probe_namespaces", "probe_packets", "probe_programs"]

CAPABILITIES = (*(f"{family}-{mode}" for family in FAMILIES for mode in MODES), "namespaces", "packets", "programs")

_ALL_GROUPS = {"ipv4": "224.0.0.0/4", "ipv6": "ff00::/8"}
_NO_PROGRAM = "allow PID namespaces (CAP_SYS_ADMIN), or run pytest with --mcast-lab"


def probe_channel(
    sender: Host, receiver: Host, family: str, mode: str, *, timeout: float = 5.0
) -> MissingCapability | None:
    """Send one datagram from host to host over a channel of that kind; None when it arrives.

    ``timeout`` is in seconds and is spent only when it does not. The capability has the name ``FAMILY-MODE``; its
    ``__cause__`` is the error. Raises ``HostError`` for a remote host that cannot be reached, or is lost.
    """
    name = f"{family}-{mode}"
    where = _where(sender, receiver)
    with Observation(sender, receiver) as observation, ExitStack() as stack:
        call, ends, channel = "", {}, None
        try:
            channel = _channel(receiver, family, sender.source(family) if mode == "ssm" else None)
            payload = secrets.token_bytes(16)
            call = "join"
            member = stack.enter_context(receiver.receiver(channel, timeout=timeout))
            ends["receiver"] = () if isinstance(receiver, RemoteHost) else (member.subscription.socket,)
            call = "open"
            origin = stack.enter_context(sender.sender(channel, timeout=timeout))
            ends["sender"] = () if isinstance(sender, RemoteHost) else (origin.socket,)
            call = "send"
            origin.send(payload)
            call = "receive"
            while member.recv().payload != payload:
                pass
        except HostError:
            raise
        except (OSError, McastError) as error:
            what = str(error).splitlines()[0]
            remedy, cause, found = _remedy(sender, receiver, family), "", None
            if channel is not None:
                parties = {
                    "sender": Party(sender, ends.get("sender", ())),
                    "receiver": Party(receiver, ends.get("receiver", ())),
                }
                found = _cause(observation, channel, parties, call, error)
            if found is None and not any(isinstance(host, RemoteHost) for host in (sender, receiver)):
                found = _unfit(sender) or _unfit(receiver)
            what, remedy, cause = found or (what, remedy, cause)
            if channel is not None:
                what, remedy = _general(what, channel), _general(remedy, channel)
            reason = printable(f"{name} multicast does not work {where} ({what})")
            missing = MissingCapability(name, reason, printable(remedy))
            missing.__cause__, missing.cause = error, cause
            return missing
    return None


def _cause(
    observation: Observation, channel: Channel, parties: Mapping[str, Party], call: str, error: BaseException
) -> tuple[str, str, str] | None:
    """Return cause and cure, as the engine finds them, in one line each, and the id of the check.

    None when it finds none, or none that is more than possible.
    """
    flow = observation.flow(channel, call=call, error=error, **parties)  # type: ignore[arg-type] # their names are fixed
    flow = replace(flow, sender=_named(flow.sender), receiver=_named(flow.receiver))
    found = next((one for one in diagnose(flow).findings if one.confidence != "possible"), None)
    if found is None:
        return None
    cure = found.cure + (f": {_for_all(found.command, channel)}" if found.command else "")
    local = all(isinstance(party.host, LocalHost) for party in parties.values())
    return found.cause, f"run pytest with --mcast-lab, or {cure}" if local else cure, found.check


def _unfit(host: Host) -> tuple[str, str, str] | None:
    """Return why the interface of a host cannot have a channel of a family at all, as ``_cause`` does; None: not known."""
    from .machine_check import examine
    from .machine_checks import interfaces
    from .machine_checks.asking import of_interface

    findings, _ = examine(of_interface(facts_of(host), host.interface.name), interfaces.CHECKS)
    found = next((one for one in findings if one.confidence == "certain"), None)
    if found is None:
        return None
    cure = found.cure + (f": {found.command}" if found.command else "")
    return found.cause, f"run pytest with --mcast-lab, or {cure}" if isinstance(host, LocalHost) else cure, found.check


def _for_all(command: str, channel: Channel) -> str:
    """Make a command for one group, which was made up for the probe, one for all groups."""
    group, everything = channel.group, _ALL_GROUPS[channel.family]
    for one in (f"{group} udp dport {channel.port}", f"{group}/32", f"{group}/128", group):
        command = command.replace(one, everything)
    return command


def _general(text: str, channel: Channel) -> str:
    """Leave the channel out, which was made up for the probe: all groups fare like it, and the same is said of each."""
    return text.replace(str(channel), "the channel").replace(channel.group, "the group")


def _named(end: End | None) -> End | None:
    return replace(end, name="this machine") if end is not None and end.name == "local" else end


def _where(sender: Host, receiver: Host) -> str:
    if sender is receiver:
        return f"on {receiver.interface.name}" if isinstance(receiver, LocalHost) else f"on {_name(receiver)}"
    return f"from {_name(sender)} to {_name(receiver)}"


def _name(host: Host) -> str:
    return f"{host.interface.name} of {'this machine' if isinstance(host, LocalHost) else host}"


def _channel(receiver: Host, family: str, source: str | None) -> Channel:
    if isinstance(receiver, RemoteHost):
        return receiver.pick(family, source=source)
    with receiver.inside():
        picker = ChannelPicker(secrets.token_bytes(8))
        return picker.pick(family, source=source, interface=receiver.interface)


def _remedy(sender: Host, receiver: Host, family: str) -> str:
    hosts = list(dict.fromkeys((sender, receiver)))
    if any(isinstance(host, RemoteHost) for host in hosts):
        lacking = [_name(host) for host in hosts if not getattr(host.interface, family)]
        if lacking:
            return f"give {' and '.join(lacking)} an {family.replace('ip', 'IP')} address, or name another interface"
        return "see that multicast gets from the one to the other, or name other interfaces"
    if sender.interface.loopback and sender.interface.ipv6 and family == "ipv6" and LINUX:
        route = f"ip -6 route add local ff00::/8 dev {sender.interface.name} table local"
        return f"run pytest with --mcast-lab, or give loopback the route it lacks: {route}"
    if family == "ipv6" and not sender.interface.ipv6:
        return f"give {sender.interface.name} an IPv6 address, name another --mcast-iface, or use --mcast-lab"
    return "name another --mcast-iface, or run pytest with --mcast-lab"


def probe_namespaces() -> MissingCapability | None:
    """Make a network namespace and let go of it; None when that works here and now."""
    if LINUX:
        from pytest_mcast.lab.namespace import Namespace

        try:
            Namespace.create().close()
        except MissingCapability as missing:
            return missing
        except OSError as error:  # no /proc
            return MissingCapability("namespaces", f"no network namespace can be made: {error}", "mount /proc")
        return None
    return MissingCapability("namespaces", f"{sys.platform} has no network namespaces", "run the tests on Linux")


def probe_packets() -> MissingCapability | None:
    """Open packet sockets in a virtual host; None when that works here and now."""
    missing = probe_namespaces()
    if missing is not None:
        return MissingCapability("packets", missing.reason, missing.remedy)
    from pytest_mcast.lab import Lab

    try:
        with Lab() as lab:
            host = lab.host()
            host.injector()
            host.control.switch_off()
    except MissingCapability as missing:
        return missing
    return None


def probe_programs() -> MissingCapability | None:
    """Run a program in a virtual host; None when that works here and now."""
    missing = probe_namespaces()
    if missing is not None:
        return MissingCapability("programs", missing.reason, missing.remedy)
    from pytest_mcast.lab import Lab

    try:
        with Lab() as lab:
            code = lab.host().popen([sys.executable, "-I", "-S", "-c", ""]).wait()
    except MissingCapability as missing:
        return missing
    except (OSError, ProgramError) as error:
        return MissingCapability("programs", f"no program runs in a virtual host ({error})", _NO_PROGRAM)
    return None if code == 0 else MissingCapability("programs", f"a program ended with {code}", _NO_PROGRAM)
