"""How cases are written that are more than a datagram: functions of a bench, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

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

__all__ = ["beside", "expect_come", "prober", "proved", "situation"]

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


def expect_come(host: VirtualHost, payloads: Iterable[bytes]) -> None:
    """Raise ``NoVerdict`` unless a host has seen all of these come in, whoever wanted them."""
    for payload in payloads:
        if host.control.find(lambda frame, payload=payload: payload in frame) is None:  # type: ignore[misc]
            raise NoVerdict("\n".join([f"{payload!r} has not come to {host}", *host.control.account()]))


def stray(bench: Bench, channel: Channel, tx: VirtualHost, rx: VirtualHost, name: str, **options: str) -> Flows:
    """Send one datagram that is not to be delivered, and see that it comes in."""
    flows = bench.flows(channel, tx, **options)
    flows.send(name)
    expect_come(rx, flows.payloads)
    return flows
