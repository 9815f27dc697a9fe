"""Which datagrams the failure of a test is about, and what the doctor says of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pytest_mcast.core.attempts import Attempt
from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import (
    Delivered,
    EchoError,
    HostError,
    NotReported,
    NoVerdict,
    ProgramError,
    ReceiveError,
    Reported,
)
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.core.sender import Sender
from pytest_mcast.core.system import LINUX
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host, LocalHost

from .diagnosis import Diagnosis, diagnose
from .flow import Flow, Trace, Unwanted
from .moment import Endpoint, Moment
from .observation import Observation, Party
from .pairing import paired
from .trace import trace
from .unreported import report_flow

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Concern", "chain_of", "concern_of", "explain"]

#: How much an exception has to do with multicast: it says which datagrams, that something did not come, or neither.
Concern = Literal["ours", "waiting", "other"]

_MOST = 3  # flows that are looked at when the exception does not say which one
_OTHER_STORIES = (EchoError, HostError, ProgramError)  # that are told by their own texts
_CLOSED = Reading(refused="the receiver was closed before anybody looked")


def concern_of(error: BaseException) -> tuple[Concern, BaseException]:
    """Say how much an exception, or one that it comes from, has to do with multicast; and which one that is."""
    chain = list(chain_of(error))
    for one in chain:
        if Attempt.of(one) is not None or getattr(one, "receiver", None) is not None or isinstance(one, ReceiveError):
            return "ours", one
    for one in chain:
        if isinstance(one, _OTHER_STORIES):
            return "other", one
        if isinstance(one, (TimeoutError, BlockingIOError, NoVerdict)) or type(one).__name__ == "Timeout":
            return "waiting", one
    return "other", error


def explain(
    error: BaseException,
    observation: Observation,
    hosts: Sequence[Host],
    *,
    process: Host | None = None,
    stale: Collection[int] = (),
    moment: Moment | None = None,
    again: bool = False,
) -> list[Diagnosis]:
    """Look at the datagrams that an exception is about, the most suspect first.

    ``hosts`` are those of the test, ``process`` the one that this process is itself, if it is one, all whose sockets but
    the ``stale`` ones (inodes) may be those that are meant; what was kept at the
    ``moment`` of the failure is taken from there. With ``again`` a datagram is sent once more, if that is possible and
    cannot get to a network of others: what was queued at the receiver is read then. A diagnosis without a finding is returned only when it is certain
    which datagrams are meant.
    """
    concern, one = concern_of(error)
    attempt = Attempt.of(one)
    if attempt is not None:
        return [_refused(one, attempt, observation, hosts)]
    moment = getattr(one, "moment", None) or moment or observation.moment(hosts, process, stale)
    report = report_flow(one, observation, hosts, moment) if isinstance(one, NotReported) else None
    if report is not None:
        return [diagnose(report)]
    receiver = getattr(one, "receiver", None)
    if receiver is not None and concern == "ours":
        return [_lost(one, receiver, observation, hosts, moment, again=again)]
    return list(_suspects(one, concern, observation, moment))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, those that it comes from, and those in a group, each once."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions


def _refused(error: BaseException, attempt: Attempt, observation: Observation, hosts: Sequence[Host]) -> Diagnosis:
    host = attempt.host
    if not isinstance(host, Host):
        candidates = [each for each in hosts if each.interface == attempt.interface]
        host = candidates[0] if candidates else LocalHost(attempt.interface)
    party = Party(host, _sockets_of(host, attempt), attempt.interface.name)
    sender, receiver = (party, None) if attempt.call in ("open", "send") else (None, party)
    flow = observation.flow(
        attempt.channel, sender=sender, receiver=receiver, call=attempt.call, error=error, size=attempt.size
    )
    return diagnose(flow)


def _sockets_of(host: Host, attempt: Attempt) -> list[Mapping[str, object]]:
    """Return the socket of a sender that could not send; one that could not be opened there is none of."""
    if attempt.call != "send":
        return []
    from .moment import endpoints_of

    found = [each.options for each in endpoints_of(host) if each.role == "sender" and each.channel == attempt.channel]
    return found[-1:]


def _lost(
    error: BaseException,
    receiver: object,
    observation: Observation,
    hosts: Sequence[Host],
    moment: Moment,
    *,
    again: bool,
) -> Diagnosis:
    own = next((each for each in moment.endpoints if each.owner is receiver), None)
    if own is None:  # it is closed by now, and what it had joined is gone with it
        own = _closed(receiver, hosts)
        readings = {**moment.readings.get(own.host, {}), "memberships": _CLOSED, "sockets": _CLOSED}
        moment = replace(moment, readings={**moment.readings, own.host: readings})
    flow, pair = _flow(own, observation, moment, error)
    if isinstance(error, Delivered):
        return diagnose(replace(flow, unwanted=_unwanted(error, own)))
    if again:
        flow = replace(flow, trace=_once_more(pair))
    return paired(diagnose(flow))


def _unwanted(error: Delivered, receiver: Endpoint) -> Unwanted:
    """Say what is known of the datagram that was delivered."""
    datagram = error.datagram
    if datagram is None:
        return Unwanted()
    index = datagram.interface_index
    name = next((each.name for each in receiver.host.interfaces if each.index == index), None)
    return Unwanted(datagram.destination, datagram.source[0].partition("%")[0], name)


def _once_more(pair: tuple[Endpoint | None, Endpoint]) -> Trace | None:
    """Send once more what was lost, where both ends are ours, open, and no network of others is between them."""
    sender, receiver = pair
    if sender is None or not isinstance(sender.owner, Sender) or not isinstance(receiver.owner, Receiver):
        return None
    ours = all(each.host.interface.loopback or _is_virtual(each.host) for each in pair if each is not None)
    if not ours or sender.count == 0 or sender.owner.closed or receiver.owner.closed or receiver.channel is None:
        return None
    ends = [Party(each.host, interface=each.interface) for each in (sender, receiver)]
    return trace(receiver.channel, *ends, through=sender.owner, into=receiver.owner, join=False)


def _is_virtual(host: Host) -> bool:
    if not LINUX:
        return False
    from pytest_mcast.lab import VirtualHost

    return isinstance(host, VirtualHost)


def _closed(receiver: object, hosts: Sequence[Host]) -> Endpoint:
    interface, channel = receiver.interface, receiver.channel  # type: ignore[attr-defined] # a Receiver, or one like it
    host = next((each for each in hosts if interface in each.interfaces), None) or hosts[0]
    return Endpoint(host, "receiver", channel, interface.name, {})


def _suspects(error: BaseException, concern: Concern, observation: Observation, moment: Moment) -> Iterator[Diagnosis]:
    """Look at receivers that may have got nothing; without findings there is nothing to say of them."""
    if isinstance(error, (NotReported, Reported)):
        concern = "waiting"
    wanted = ("certain", "likely") if concern == "waiting" else ("certain",)
    receivers = _receivers(moment.endpoints)
    if concern == "other":  # what has come is not what the test is about
        receivers = [each for each in receivers if not each.options.get("queued")]
    for receiver in receivers[:_MOST]:
        flow, (sender, _) = _flow(receiver, observation, moment, error)
        if concern == "other" and (sender is None or sender.count == 0):
            continue
        diagnosis = paired(diagnose(flow))
        findings = tuple(finding for finding in diagnosis.findings if finding.confidence in wanted)
        if findings:
            yield replace(diagnosis, findings=findings)


def _receivers(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return what may have received nothing, the newest first: receivers, and sockets that should be.

    That is a socket of the user's on the port to which a sender sends, unless it has joined that group; what it has
    joined instead, or that it has joined nothing, is what the checks are to find.
    """
    sent_to = {each.channel.port: each.channel for each in endpoints if each.role == "sender" and each.channel}
    found: dict[object, Endpoint] = {}
    for each in reversed(endpoints):
        local = each.options.get("local", ["", 0])
        meant = sent_to.get(local[1]) if each.owner is None and "peer" not in each.options else None
        inode = each.options.get("inode", id(each))
        if meant is not None and not (each.channel and each.channel.group == meant.group):
            found.setdefault(inode, replace(each, role="receiver", channel=meant, count=None))
        elif each.role == "receiver" and not each.count:
            found[inode] = each
    return list(found.values())


def _flow(
    receiver: Endpoint, observation: Observation, moment: Moment, error: BaseException
) -> tuple[Flow, tuple[Endpoint | None, Endpoint]]:
    """Return what is known of the datagrams for a receiver, and both ends of them."""
    channel = receiver.channel
    assert channel is not None
    sender, elsewhere = _sender_of(receiver, moment.endpoints)
    flow = observation.flow(
        channel,
        sender=None
        if sender is None
        else Party(sender.host, [sender.options] if sender.options else [], sender.interface),
        receiver=Party(receiver.host, [receiver.options] if receiver.options else [], receiver.interface),
        call="receive",
        error=error,
        moment=moment,
        sent=None if sender is None else sender.count,
        received=receiver.count,
        elsewhere=elsewhere,
    )
    return flow, (sender, receiver)


def _sender_of(receiver: Endpoint, endpoints: Sequence[Endpoint]) -> tuple[Endpoint | None, tuple[Channel, ...]]:
    """Return who sends to a receiver, as far as it can be told; and where the others send when nobody does."""
    channel = receiver.channel
    assert channel is not None
    senders = [each for each in endpoints if each.role == "sender"]
    fitting = [each for each in senders if each.channel and _address(each.channel) == _address(channel)]
    if fitting:
        # The one that may send to it, which has sent, and is the newest.
        return max(fitting, key=lambda each: (each.channel == channel, bool(each.count))), ()
    family = [each for each in senders if each.channel is None and each.options.get("family") == channel.family]
    others = [each for each in family if each.options != receiver.options]
    if others or family:
        return (others or family)[-1], ()
    return None, tuple(dict.fromkeys(each.channel for each in senders if each.channel is not None))


def _address(channel: Channel) -> tuple[str, int]:
    return channel.group, channel.port
