"""How cases are written that are more than a datagram: functions of a bench, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.channels import FAMILIES, MODES, Channel
from pytest_mcast.core.errors import NoVerdict
from pytest_mcast.packets import Prober

from .case import Situation, register

if TYPE_CHECKING:
    from pytest_mcast.core.verdicts import Receives
    from pytest_mcast.cores import CoreReceiver
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.cores.behaviours.bench import Flows
    from pytest_mcast.lab import VirtualHost
    from pytest_mcast.wire import Listener, Query, Report

__all__ = ["beside", "heard", "pour", "prober", "proved", "situation", "stray"]

_REPEATED_S = 0.1  # in which a host of a lab repeats what it has reported, and more

Run = Callable[["Bench"], None]


def situation(
    id: str,  # noqa: A002 - the field's word
    title: str,
    level: str,
    reference: str,
    *,
    outcome: str,
    reason: str,
    families: tuple[str, ...] = FAMILIES,
    modes: tuple[str, ...] = MODES,
    needs: tuple[str, ...] = ("payload",),
) -> Callable[[Run], Run]:
    """Register the case that a function looks at; the arguments are those of ``Situation``.

    The function returns when the core behaves, and raises as that of a ``Behaviour``.
    """

    def declare(run: Run) -> Run:
        register(
            Situation(
                id,
                title,
                level,
                reference,
                reason,
                families=families,
                modes=modes,
                needs=needs,
                outcome=outcome,
                run=run,
            )
        )
        return run

    return declare


def prober(
    bench: Bench,
    receiver: CoreReceiver,
    tx: VirtualHost,
    rx: VirtualHost,
    *others: Receives,
    interface: str | None = None,
) -> Prober:
    """Return what probes a receiver of the core, and others on the same host beside it."""
    return Prober(receiver, tx, rx, interface=interface, timeout=bench.timeout, beside=others, drops=bench.drops)


def proved(bench: Bench, what: str) -> None:
    """Take down what was established by control and fence."""
    bench.evidence.append(f"{what}: control and fence")


def beside(channel: Channel, source: str | None = None, *, group: str | None = None) -> Channel:
    """Return the channel of the same port with another source (None: of any), or another group."""
    return Channel.unchecked(group or channel.group, channel.port, source)


def stray(bench: Bench, channel: Channel, tx: VirtualHost, rx: VirtualHost, name: str, count: int = 1) -> None:
    """Send what is not to be delivered, from so many ports, and see that it comes in; raises ``NoVerdict`` if not."""
    flows = bench.flows(channel, tx, count)
    flows.send(name)
    last = flows.payloads[-1]
    if rx.control.find(lambda frame: last in frame) is None:
        raise NoVerdict("\n".join([f"{last!r} has not come to {rx}", *rx.control.account()]))


def heard(
    bench: Bench,
    wire: Listener,
    host: VirtualHost,
    group: Channel | str,
    *,
    times: int = 1,
    answers: Query | None = None,
    **wanted: Any,
) -> Report:
    """Expect that a host reports something so many times, take it down, and return the last; see ``Listener``."""
    allowed = times * _REPEATED_S + (0.0 if answers is None else answers.max_response)
    reports = wire.expect_reports(times, group, sender=host, answers=answers, timeout=bench.timeout + allowed, **wanted)
    for report in reports:
        records = "; ".join(map(str, report.of(group)))
        bench.evidence.append(f"wire: {report.name} to {report.destination}, TTL {report.ttl}: {records}")
    return reports[-1]


def pour(flows: Flows, count: int, rx: VirtualHost, name: str, size: int = 0) -> None:
    """Send that many datagrams at once, of ``size`` bytes at least, while the tap of the receiver's host is read."""
    while count > 0:
        flows.send(name, size)
        count -= len(flows.senders)
        if count % 64 == 0:
            rx.control.pull()
