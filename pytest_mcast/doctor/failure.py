"""Which datagrams the failure of a test is about, and what the doctor says of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pytest_mcast.core.attempts import Attempt
from pytest_mcast.core.channels import Channel
from pytest_mcast.core.errors import (
    Delivered,
    EchoError,
    HostError,
    InterfaceError,
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
from pytest_mcast.hosts import Host, LocalHost, RemoteHost, RemoteReceiver

from .diagnosis import Diagnosis, diagnose
from .endpoint import Endpoint
from .flow import Flow, Trace, Unwanted
from .moment import Moment, endpoints_of
from .observation import Observation
from .overhearing import may_be_overheard
from .own_sockets import chosen_by
from .pairing import paired
from .party import Party
from .plain_calls import plain_call_flow
from .switches import beside
from .trace import trace
from .unreported import report_flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mcast.core.interfaces import Interface

__all__ = ["Concern", "chain_of", "concern_of", "explain"]

#: How much an exception has to do with multicast: it says which datagrams, that something did not come, or neither.
Concern = Literal["ours", "waiting", "other"]

_MOST = 3  # flows that are looked at when the exception does not say which one
_SMALLEST = 64  # bytes of a datagram that is sent once more
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
    stale: Collection[int] = (),
    moment: Moment | None = None,
    again: bool = False,
) -> list[Diagnosis]:
    """Look at the datagrams that an exception is about, the most suspect first.

    ``hosts`` are those of the test, in which all sockets of this process but the ``stale`` ones (inodes) may be those that
    are meant; what was kept at the ``moment`` of the failure is taken from there. With ``again`` a datagram is sent once
    more, if that is possible and nobody else can get it: what was queued at the receiver is read then. A diagnosis without
    a finding is returned only when it is certain which datagrams are meant.
    """
    concern, one = concern_of(error)
    kept: Moment | None = getattr(one, "moment", None)
    attempt = Attempt.of(one)
    if attempt is not None:
        return _refused(one, attempt, observation, hosts, kept or moment)
    receiver = getattr(one, "receiver", None)
    where = getattr(receiver, "host", None)
    if isinstance(where, Host) and where not in hosts:  # of a lab of the user's own, of which nobody has told
        hosts = [*hosts, where]
    moment = kept or moment or observation.moment(hosts, stale, receiver)
    report = report_flow(one, observation, hosts, moment)
    if report is not None:
        return [diagnose(report)]
    for each in chain_of(error) if receiver is None else ():
        refused = plain_call_flow(each, observation, moment)
        if refused is not None and (found := diagnose(refused)).findings:
            return [found]
    if receiver is not None and concern == "ours":
        return _lost(one, receiver, observation, moment, again=again)
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


def _refused(
    error: BaseException, attempt: Attempt, observation: Observation, hosts: Sequence[Host], moment: Moment | None
) -> list[Diagnosis]:
    host = attempt.host
    if not isinstance(host, Host):  # an endpoint that was opened without one
        host = next((each for each in hosts if _has(each, attempt.interface)), LocalHost(attempt.interface))
    if moment is None and host.gone:  # nobody has looked, and there is nothing to look at any more
        return []
    party = Party(host, _sockets_of(host, attempt, moment), attempt.interface.name)
    sender, receiver = (party, None) if attempt.call in ("open", "send") else (None, party)
    flow = observation.flow(
        attempt.channel,
        sender=sender,
        receiver=receiver,
        call=attempt.call,
        error=error,
        moment=moment,
        size=attempt.size,
    )
    return [diagnose(flow)]


def _has(host: Host, interface: Interface) -> bool:
    if host.gone or isinstance(host, RemoteHost):
        return False
    with suppress(InterfaceError, OSError):  # it has none any more
        return host.interface == interface
    return False


def _sockets_of(host: Host, attempt: Attempt, moment: Moment | None) -> list[Mapping[str, object]]:
    """Return the socket of a sender that could not send; one that could not be opened there is none of."""
    if attempt.call != "send":
        return []
    endpoints = endpoints_of(host, {}) if moment is None else [each for each in moment.endpoints if each.host is host]
    found = [each.options for each in endpoints if each.role == "sender" and each.channel == attempt.channel]
    return [each for each in found[-1:] if each]


def _lost(
    error: BaseException, receiver: object, observation: Observation, moment: Moment, *, again: bool
) -> list[Diagnosis]:
    own = next((each for each in moment.endpoints if each.owner is receiver), None) or _same_socket(receiver, moment)
    if own is None:  # it is closed by now, and what it had joined is gone with it
        host = getattr(receiver, "host", None)
        if not isinstance(host, Host) or (host.gone and host not in moment.readings):
            return []  # nobody knows where it was, or there is nothing left to look at
        own = Endpoint(host, "receiver", receiver.channel, receiver.interface.name, {})  # type: ignore[attr-defined] # a Receiver, or one like it
        readings = {**moment.readings.get(host, {}), "memberships": _CLOSED, "sockets": _CLOSED}
        moment = replace(moment, readings={**moment.readings, host: readings})
    flow, pair = _flow(own, observation, moment, error)
    if isinstance(error, Delivered):
        return [diagnose(replace(flow, unwanted=_unwanted(error, own)))]
    if again:
        flow = replace(flow, trace=_once_more(pair, moment))
    return [paired(diagnose(flow))]


def _same_socket(receiver: object, moment: Moment) -> Endpoint | None:
    """Return what is known of the socket of a receiver that was opened without a host."""
    if not isinstance(receiver, Receiver) or isinstance(receiver, RemoteReceiver) or receiver.closed:
        return None
    inode = os.fstat(receiver.fileno()).st_ino
    fitting = [each for each in moment.endpoints if each.role == "receiver" and each.options.get("inode") == inode]
    return replace(fitting[-1], channel=receiver.channel, interface=receiver.interface.name) if fitting else None


def _unwanted(error: Delivered, receiver: Endpoint) -> Unwanted:
    """Say what is known of the datagram that was delivered."""
    datagram = error.datagram
    if datagram is None:
        return Unwanted()
    index = datagram.interface_index
    known = [] if receiver.host.gone else receiver.host.interfaces
    name = next((each.name for each in known if each.index == index), None)
    return Unwanted(datagram.destination, datagram.source[0].partition("%")[0], name)


def _once_more(pair: tuple[Endpoint | None, Endpoint], moment: Moment) -> Trace | None:
    """Send once more what was lost, where both ends are ours, open, and nobody else can get it."""
    sender, receiver = pair
    if sender is None or not isinstance(sender.owner, Sender) or not isinstance(receiver.owner, Receiver):
        return None
    ours = all(each.host.interface.loopback or _is_virtual(each.host) for each in pair if each is not None)
    if not ours or sender.count == 0 or sender.owner.closed or receiver.owner.closed or receiver.channel is None:
        return None
    if any(each.host.gone for each in pair if each is not None) or may_be_overheard(receiver.channel, moment):
        return None
    ends = [Party(each.host, interface=each.interface) for each in (sender, receiver)]
    size = max(_SMALLEST, sender.largest or 0)  # as large as what was lost: fragments are lost otherwise
    return trace(receiver.channel, *ends, through=sender.owner, into=receiver.owner, join=False, size=size)


def _is_virtual(host: Host) -> bool:
    if not LINUX:
        return False
    from pytest_mcast.lab import VirtualHost

    return isinstance(host, VirtualHost)


def _suspects(error: BaseException, concern: Concern, observation: Observation, moment: Moment) -> Iterator[Diagnosis]:
    """Look at receivers that may have got nothing; without findings there is nothing to say of them."""
    if isinstance(error, (NotReported, Reported)):
        concern = "waiting"
    wanted = ("certain", "likely") if concern == "waiting" else ("certain",)
    receivers = _receivers(moment.endpoints)
    if concern == "other":  # what has come is not what the test is about, nor who is not to get what others have joined
        groups = {each.channel.group for each in moment.endpoints if each.role == "receiver" and each.channel}
        receivers = [
            each
            for each in receivers
            if not each.options.get("queued") and (_joined(each) or _group(each) not in groups)
        ]
    for receiver in receivers[:_MOST]:
        flow, (sender, _) = _flow(receiver, observation, moment, error)
        if concern == "other" and (sender is None or sender.count == 0):
            continue
        diagnosis = paired(diagnose(flow))
        findings = tuple(finding for finding in diagnosis.findings if finding.confidence in wanted)
        if findings:
            yield replace(diagnosis, findings=findings)


def _joined(receiver: Endpoint) -> bool:
    """Whether it is a receiver of its group itself, not only taken for one."""
    return receiver.owner is not None or _group(receiver) in {
        each["group"] for each in receiver.options.get("joined", ())
    }


def _group(receiver: Endpoint) -> str:
    return "" if receiver.channel is None else receiver.channel.group


def _receivers(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return what may have received nothing, the newest first: receivers, and sockets that should be.

    That is a socket of the user's on the port to which a sender sends, unless it has joined a group that is sent to there,
    or is itself such a sender; what it has joined instead, or that it has joined nothing, is what the checks are to find.
    """
    sent_to: dict[int, list[Channel]] = {}
    speakers: set[tuple[object, int]] = set()
    for each in endpoints:
        if each.role == "sender" and each.channel:
            sent_to.setdefault(each.channel.port, []).append(each.channel)
            speakers.add((each.options.get("inode"), each.channel.port))
    found: dict[object, Endpoint] = {}
    for each in reversed(endpoints):
        port = each.options.get("local", ["", 0])[1]
        inode = each.options.get("inode", id(each))
        joined = {one["group"] for one in each.options.get("joined", ())}
        channels = sent_to.get(port, [])
        silent = each.owner is None and "peer" not in each.options and (inode, port) not in speakers
        meant = channels[-1] if channels and silent and joined.isdisjoint(one.group for one in channels) else None
        if meant is not None:
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
    if sender is not None:
        sender, receiver = _on_one_interface(sender, receiver)
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
        size=None if sender is None else sender.largest,
        elsewhere=elsewhere,
    )
    return flow, (sender, receiver)


def _on_one_interface(sender: Endpoint, receiver: Endpoint) -> tuple[Endpoint, Endpoint]:
    """Return both ends with the interfaces that are meant, where theirs are not on one link although there are such.

    On one host, for sockets of the user's own, that is the one that both name, or else the one that the sender sends out
    of. Between virtual hosts it is what the receiver's host has on the sender's link, or else the other way round.
    """
    if sender.host is not receiver.host:
        at = beside(Party(receiver.host, (), receiver.interface), Party(sender.host, (), sender.interface))
        if at is not None:
            return sender, replace(receiver, interface=at)
        at = beside(Party(sender.host, (), sender.interface), Party(receiver.host, (), receiver.interface))
        return (sender if at is None else replace(sender, interface=at)), receiver
    plain = sender.owner is None and receiver.owner is None and sender.channel is not None
    if not plain or sender.host.gone or sender.interface == receiver.interface:
        return sender, receiver
    chosen = chosen_by(sender.host, sender.options)
    if chosen == receiver.interface:
        return replace(sender, interface=chosen), receiver
    return sender, receiver if chosen else replace(receiver, interface=sender.interface)


def _sender_of(receiver: Endpoint, endpoints: Sequence[Endpoint]) -> tuple[Endpoint | None, tuple[Channel, ...]]:
    """Return who sends to a receiver, as far as it can be told; and where the others send when nobody does."""
    channel = receiver.channel
    assert channel is not None
    senders = [each for each in endpoints if each.role == "sender"]
    fitting = [each for each in senders if each.channel and _address(each.channel) == _address(channel)]
    if fitting:
        # The one that may send to it, which has sent, and is the newest.
        return max(reversed(fitting), key=lambda each: (each.channel == channel, each.count != 0)), ()
    family = [each for each in senders if each.channel is None and each.options.get("family") == channel.family]
    others = [each for each in family if each.options != receiver.options]
    elsewhere = tuple(dict.fromkeys(each.channel for each in senders if each.channel is not None))
    # What has joined may send as well; it is thought of when there is nobody else.
    silent = [each for each in others if not each.options.get("joined")]
    if silent or (family and not elsewhere):
        return (silent or others or family)[-1], ()
    return None, elsewhere


def _address(channel: Channel) -> tuple[str, int]:
    return channel.group, channel.port
