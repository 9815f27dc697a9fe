"""How a virtual host hears and asks: its taps and listeners, and its queriers."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.core.receiver import Receiver
from pytest_mcast.wire import Listener, Querier, Tap

if TYPE_CHECKING:
    from .virtualhost import VirtualHost

__all__ = ["Ears"]


_INTERVAL_S = 0.05  # of a lab's hosts


def _solicited_node(address: str) -> str:
    """Return the group of an address (RFC 4291 section 2.7.1)."""
    low = int(ipaddress.IPv6Address(address)) & 0xFFFFFF
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("ff02::1:ff00:0")) | low))


class Ears:
    """The listeners and queriers of a host; their taps are kept for the next ones, because closing takes long."""

    def __init__(self, host: VirtualHost, open_tap: Callable[[], Tap]) -> None:
        self._host = host
        self._open_tap = open_tap
        self._taps: list[Tap] = []  # all there are
        self._idle: list[Tap] = []
        self._open: list[Listener | Querier] = []

    def listen(self) -> Listener:
        """See ``VirtualHost.listen``."""

        def release(tap: Tap) -> None:
            self._idle.append(tap)
            self._open = [one for one in self._open if one is not listener]

        listener = Listener(str(self._host), self._tap(), self.querier, release, self._host.mark)
        listener.failed = self._host.lost
        self._open.append(listener)
        return listener

    def querier(self, family: str, source: str | None = None, interface: str | None = None, **options: Any) -> Querier:
        """See ``VirtualHost.querier``."""
        host = self._host
        name = interface or host.interface.name
        if source is None:
            source = host.find(name).address(family, "link-local")
        querier = Querier(
            host.injector(name), self._tap, self._idle.append, name=str(host), family=family, source=source, **options
        )
        if name in host.shared and not querier.harmless:
            raise ValueError(
                f"{querier} would change how the hosts of other tests report, for minutes: an older version, and another "
                "robustness than 2 or interval than 125 s, need a link of the test's own, such as "
                'mcast_lab.hosts(2, link="mine")'
            )
        self._open.append(querier)
        return querier

    def settle(self, timeout: float = 10.0) -> None:
        """See ``VirtualHost.settle``."""
        host, deadline = self._host, Deadline(timeout)
        own = {_solicited_node(address) for address in host.interface.addresses if ":" in address}
        picker = ChannelPicker(secrets.token_bytes(8))
        with self.listen() as wire:
            while not own <= {membership.group for membership in host.memberships(interface=host.interface.name)}:
                with host.inside():
                    receiver = Receiver(picker.pick("ipv6", interface=host.interface), host.interface)
                with receiver:  # its report comes in some milliseconds
                    wire.expect_report(receiver.channel, sender=host, timeout=deadline.remaining())
            wire.wait_for(lambda _: [], Deadline(2 * _INTERVAL_S))

    @contextmanager
    def lend(self) -> Iterator[Tap]:
        """See ``VirtualHost.tap``."""
        tap = self._tap()
        try:
            yield tap
        finally:
            tap.switch_off()
            self._idle.append(tap)

    def close_all(self) -> None:
        """Close what was opened, and keep the taps."""
        with ExitStack() as stack:
            while self._open:
                stack.callback(self._open.pop().close)

    def close(self) -> None:
        """Close the taps as well (16 to 24 ms each)."""
        self.close_all()
        self._idle.clear()
        while self._taps:
            self._taps.pop().close()

    def _tap(self) -> Tap:
        if not self._idle:
            with self._host.inside():
                self._taps.append(self._open_tap())
            self._idle.append(self._taps[-1])
        return self._idle.pop()
