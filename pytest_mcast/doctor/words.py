"""A diagnosis in words, for a terminal: the most probable cause first, and no more lines than there is patience for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .facts import NotRead
from .printable import in_shell, wrapped

if TYPE_CHECKING:
    from .diagnosis import Diagnosis, Finding
    from .flow import Flow

__all__ = ["brief", "in_words"]

_ERRNO = re.compile(r"\[Errno \d+\] ")  # of OSError, before what it says
# Counters that are named when nothing was found, in this order.
_TOLD_IPV4 = (
    *("Udp.OutDatagrams", "Udp.InDatagrams", "Udp.NoPorts", "Udp.InErrors", "Udp.RcvbufErrors", "Udp.IgnoredMulti"),
    *("IpExt.OutMcastPkts", "IpExt.InMcastPkts", "Ip.InReceives", "Ip.InDelivers", "Ip.InDiscards", "Ip.InAddrErrors"),
)
_TOLD_IPV6 = (
    *("Udp6OutDatagrams", "Udp6InDatagrams", "Udp6NoPorts", "Udp6InErrors", "Udp6RcvbufErrors", "Udp6IgnoredMulti"),
    *("Ip6OutMcastPkts", "Ip6InMcastPkts", "Ip6InReceives", "Ip6InDelivers", "Ip6InDiscards", "Ip6InAddrErrors"),
)


def in_words(diagnosis: Diagnosis, limit: int, width: int) -> list[str]:
    """Say it in at most so many lines of at most so many columns: the first cause at length, others shorter."""
    tail = [*_traced(diagnosis, width), *_unchecked(diagnosis.unchecked, width)]
    findings = diagnosis.findings
    if not findings:
        return [*_nothing(diagnosis, width), *tail][:limit]
    lines = _cut(list(_finding(findings[0], width)), max(1, limit - len(tail) - (len(findings) > 1)), width)
    room = limit - len(tail)
    for number, finding in enumerate(findings[1:], 1):
        left = findings[number:]
        more = list(_shorter(finding, width))
        rest = _others(left, width)
        if len(lines) + len(more) + (len(_others(left[1:], width)) if left[1:] else 0) > room:
            return [*lines, *rest[: max(0, room - len(lines))], *tail][:limit]
        lines += more
    return [*lines, *tail][:limit]


def brief(diagnosis: Diagnosis, width: int) -> list[str]:
    """Say the most probable cause and its cure, and nothing else; nothing when none was found."""
    return [line for finding in diagnosis.findings[:1] for line in _shorter(finding, width)]


def _finding(finding: Finding, width: int) -> Iterator[str]:
    yield from _wrap(f"{finding.confidence}: {finding.cause}", width, "", "  ")
    for line in finding.evidence:
        yield from _wrap(line, width, "  seen: ", "        ")
    yield from _cure(finding, width)
    yield from _wrap(finding.reference, width, "  see:  ", "        ") if finding.reference else ()


def _shorter(finding: Finding, width: int) -> Iterator[str]:
    yield from _wrap(f"{finding.confidence}: {finding.cause}", width, "", "  ")
    yield from _cure(finding, width)


def _cure(finding: Finding, width: int) -> Iterator[str]:
    at = f" on {finding.where}" if finding.where else ""
    yield from _wrap(finding.cure, width, f"  cure{at}: ", "        ")
    # A line for each, so that it can be copied; one that is too long is continued as the shell has it.
    for line in finding.command.splitlines():
        yield from in_shell(line, width, 8)


def _others(findings: Sequence[Finding], width: int) -> list[str]:
    ids = ", ".join(dict.fromkeys(finding.check for finding in findings))
    count = len(findings)
    return list(_wrap(f"and {count} less probable cause{'s' if count > 1 else ''}: {ids}", width, "", "  "))[:2]


def _traced(diagnosis: Diagnosis, width: int) -> list[str]:
    trace = diagnosis.trace
    if trace is None:
        return []
    if trace.delivered:
        return list(_wrap("sent once more, it arrived: the loss did not last", width, "", "  "))
    reached = [hop.name for hop in trace.hops if hop.reached]
    stopped = trace.stopped_at
    if stopped is None:
        text = "sent once more: nobody can see how far it got"
    else:
        text = f"sent once more: it got {f'to {reached[-1]}' if reached else 'nowhere'}; not to {stopped.name}"
        text += f" ({stopped.evidence})" if stopped.evidence else ""
    return list(_wrap(text, width, "", "  "))[:3]


def _unchecked(unchecked: Mapping[str, str], width: int) -> list[str]:
    """Name what could not be read, once each: many checks may have needed it."""
    if not unchecked:
        return []
    by_reason: dict[str, dict[str, None]] = {}
    for reason in unchecked.values():
        name, _, why = _ERRNO.sub("", reason).partition(": ")
        by_reason.setdefault(why, {})[name] = None
    what = [f"{', '.join(names)} ({why})" for why, names in by_reason.items()]
    lines = list(_wrap(f"not looked at: {'; '.join(what)}", width, "", "  "))
    return _cut(lines, 3, width)


def _nothing(diagnosis: Diagnosis, width: int) -> Iterator[str]:
    flow = diagnosis.flow
    ends = [f"{role} {end.name}" for role, end in (("sender", flow.sender), ("receiver", flow.receiver)) if end]
    by = f"by {diagnosis.checked} checks of {' and '.join(ends)}"
    if flow.unwanted is not None:
        yield from _wrap(f"nothing wrong found {by}: it was sent to {flow.channel}", width, "", "  ")
        return
    yield from _wrap(f"no cause found for {flow.channel} {by}", width, "", "  ")
    if flow.sender is None and not flow.refused:
        yield from _wrap("this test has no open sender, as far as is known", width, "  seen: ", "        ")
    elif flow.sent is not None and not flow.refused:
        times = "1 datagram" if flow.sent == 1 else f"{flow.sent} datagrams"
        yield from _wrap(f"the sender has sent {times}", width, "  seen: ", "        ")
    for role in ("sender", "receiver") if not flow.same_host else ("receiver",):
        yield from _counted(flow, role, width)


def _counted(flow: Flow, role: str, width: int) -> Iterator[str]:
    end = flow.sender if role == "sender" else flow.receiver
    if end is None:
        return
    try:
        moved = dict(end.changes.all())
    except NotRead:
        return
    told = _TOLD_IPV6 if flow.channel.family == "ipv6" else _TOLD_IPV4
    text = ", ".join(f"{name} +{moved[name]}" for name in told if moved.get(name)) or "nothing of interest"
    yield from _cut(_wrap(f"{end.name} has counted {text}", width, "  seen: ", "        "), 2, width)


def _cut(lines: list[str], limit: int, width: int) -> list[str]:
    return lines if len(lines) <= limit else [*lines[: limit - 1], _shortened(lines[limit - 1], width)]


def _shortened(line: str, width: int) -> str:
    return f"{line[: width - 4].rstrip()} ..."


def _wrap(text: str, width: int, first: str, others: str) -> list[str]:
    return wrapped(text, width, first, others)
