"""A switch that listens to IGMP and MLD (RFC 4541): the snooping Linux bridge, with its traps handled.

What is done about them, because each makes a test pass or fail for a wrong reason:

* The kernel's querier speaks IGMPv2 and MLDv1 unless told otherwise, which pushes every host off source-specific
  reports. Ours speaks IGMPv3 and MLDv2.
* A switch that gets a querier goes on flooding for the query response interval *of that moment*, 10 seconds by default,
  and the kernel reads the querier before the interval when both are in one message. So the interval is 0 in an earlier
  message, and gets its value in a later one.
* Queries for MLD need a link-local address on the bridge; without one MLD snooping floods for ever. It is there first.
* That it has stopped flooding is announced by no message. So a port of the switch's own is looked at: a datagram to
  224.0.0.1, which every switch floods, must come out, and one to a group that nobody has joined must not.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import FAMILIES, Channel
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.wire.expectations import WantedReport

from . import bridge, netlink
from .link import Fabric, Link, mac_address
from .mdb import EVENTS, MdbEntry, MdbTimeout, forwarding, read_mdb
from .queries import send_general_queries, send_multicast
from .snooping import LONGEST, Snooping, Timers

if TYPE_CHECKING:
    from .port import Port
    from .virtualhost import VirtualHost

__all__ = ["Switch"]

_PROBE_INDEX = 400_000
_READY = 10.0  # seconds, for what takes the kernel milliseconds


class Switch(Link):
    """A link whose switch can snoop; ``Lab.switch()`` makes them.

    ``strict``: it forwards by what it has heard even when there is no querier (any more), as many hardware switches do,
    and so stops delivering when that has expired. A Linux bridge floods then, which is the default. The others are
    those of ``set()``.
    """

    def __init__(self, name: str, number: int, fabric: Fabric, settings: Snooping, *, strict: bool) -> None:
        super().__init__(name, number, fabric)
        self.strict = strict
        self._settings = settings
        self._picker = ChannelPicker(secrets.token_bytes(8))
        self._probe = False  # whether the port of our own is there

    @property
    def settings(self) -> Snooping:
        """How it is set now."""
        return self._settings

    @property
    def prunes(self) -> bool:
        """Whether it is set to forward multicast only to those who have joined; otherwise it floods."""
        return self._settings.snooping and (self._settings.querier or self.strict)

    def build(self) -> None:
        """Make it in the kernel, and wait until it prunes if that is what it is to do."""
        super().build()
        wanted, self._settings = self._settings, Snooping(snooping=False, querier=False)
        self._apply(wanted)

    def set(
        self,
        *,
        snooping: bool | None = None,
        querier: bool | None = None,
        igmp_version: int | None = None,
        mld_version: int | None = None,
        timers: Timers | None = None,
    ) -> None:
        """Change what is named, and wait until the switch prunes if it is to; new timers and versions begin with a query.

        Raises ``ValueError`` for what cannot be set.
        """
        now = self._settings
        self._apply(
            Snooping(
                now.snooping if snooping is None else snooping,
                now.querier if querier is None else querier,
                now.igmp_version if igmp_version is None else igmp_version,
                now.mld_version if mld_version is None else mld_version,
                now.timers if timers is None else timers,
            )
        )

    def mdb(self, wanted: Channel | str | None = None) -> tuple[MdbEntry, ...]:
        """Return the entries of the MDB, sorted: all of them, or those of one group."""
        group = wanted.group if isinstance(wanted, Channel) else wanted
        return tuple(entry for entry in self._read(self.connection) if group in (None, entry.group))

    def wait_for_entry(
        self, wanted: Channel | str, host: VirtualHost | str, interface: str | None = None, timeout: float = 5.0
    ) -> MdbEntry:
        """Wait until the switch forwards a channel, or anything of a group, to a host, and return the entry that says so.

        Raises ``MdbTimeout`` after ``timeout`` seconds, and ``InterfaceError`` for a host that is not here.
        """
        port = self.port(host, interface)
        found: list[MdbEntry] = []

        def there(entries: tuple[MdbEntry, ...]) -> bool:
            found[:] = [entry] if (entry := forwarding(entries, wanted, port.host.name, port.interface)) else []
            return bool(found)

        try:
            self._wait(there, f"no entry for {wanted} at {port.interface} of {port.host}", timeout)
        except MdbTimeout as error:
            error.wanted, error.port = WantedReport.of(wanted, str(port.host), None, None, None, None), port
            if port.host.lost is not None:
                port.host.lost(error)
            raise
        return found[0]

    def wait_until_gone(
        self, wanted: Channel | str, host: VirtualHost | str, interface: str | None = None, timeout: float = 5.0
    ) -> None:
        """Wait until the switch does not forward a channel, or anything of a group, to a host any more.

        Raises like ``wait_for_entry``.
        """
        port = self.port(host, interface)
        self._wait(
            lambda entries: forwarding(entries, wanted, port.host.name, port.interface) is None,
            f"still an entry for {wanted} at {port.interface} of {port.host}",
            timeout,
        )

    def wait_until_ready(self, port: Port, channel: Channel) -> str | None:
        """Wait until a channel that was joined at a port is forwarded there, and return the evidence.

        None when nothing had to be waited for: the switch floods, or floods this group.
        """
        if not self.prunes or _always_flooded(channel.group):
            return None
        entry = self.wait_for_entry(channel, port.host, port.interface)
        return f"MDB entry {entry}"

    def forget(self) -> None:
        """Delete it in the kernel."""
        if self._probe:
            self.connection.run(netlink.delete_link(_PROBE_INDEX + 2 * self.number))
        super().forget()

    def _apply(self, wanted: Snooping) -> None:
        before, self._settings = self._settings, wanted
        timers = {one.name: getattr(wanted.timers, one.name) for one in fields(Timers)}
        versions = {"igmp_version": wanted.igmp_version, "mld_version": wanted.mld_version}
        self._run({**versions, **timers, "query_response_interval": 0, "snooping": wanted.snooping})
        if wanted.querier:
            self._start_asking(before)
        elif self.strict and wanted.snooping and (before.querier or not before.snooping):
            self._lose_querier()
        if before.querier and not wanted.querier:
            self._run({"querier": False})
        self._run({name: timers[name] for name in ("query_response_interval", "querier_interval")})
        if wanted.querier and self.prunes:
            for family in FAMILIES:
                self._until(partial(self._prunes, family), f"{family} is flooded")

    def _run(self, *messages: Mapping[str, float]) -> None:
        self.connection.run(*(bridge.options(self.index, **message) for message in messages))

    def _start_asking(self, before: Snooping) -> None:
        if not before.querier:
            self._run({"querier": True})
            if self.strict and before.snooping:
                # It is silent as long as there is another one: so let that one's time be over.
                self._ask(0)
                for family in FAMILIES:
                    self._until(partial(self._is_alone, family), f"another {family} querier is believed in")
        elif before != self._settings:
            # Else it would go by the new timers and version after the next query only, minutes later perhaps.
            self._run({"snooping": False}, {"snooping": True})

    def _lose_querier(self) -> None:
        """Be asked once by a querier that is believed in for ever, and never heard of again."""
        self._ask(LONGEST)
        for family in FAMILIES:
            self._until(partial(self._believes, family), f"{family} is flooded")

    def _is_alone(self, family: str) -> bool:
        return not bridge.knows_other_querier(bridge.link_state(self.connection, self.index), family)

    def _believes(self, family: str) -> bool:
        # While its own first query is due the kernel believes in no other IPv6 querier. No kernel before 5.15 says
        # whether it does, so that this may ask more often than necessary.
        if self._is_alone(family):
            self._ask(LONGEST)
        return self._prunes(family)

    def _ask(self, querier_interval: float) -> None:
        """Send general queries as another querier, which is then believed in for that long."""
        self._plug_probe_in()
        self._run({"querier_interval": querier_interval})
        with self.namespace:
            # Of two queriers the lower address wins (RFC 3810 section 7.6.2), and there may be an automatic one here.
            send_general_queries(self.index, self.addresses(0xFFFE).popitem()[0])

    def _until(self, done: Callable[[], bool], otherwise: str) -> None:
        """Look until it is so. It takes less than a tick of the kernel's clock, and there is no event to wait for."""
        deadline = Deadline(_READY)
        while not done():
            if deadline.passed():
                raise MdbTimeout(f"{otherwise} by {self} after {_READY:g} s; it is set to {self._settings}")

    def _prunes(self, family: str) -> bool:
        """Look at the port of our own: what everybody is to get must come out, what nobody has joined must not."""
        self._plug_probe_in()
        nobody = self._picker.pick(family)
        with self.namespace:
            counts = [self._probe_count()]
            for group in ("ff02::1" if family == "ipv6" else "224.0.0.1", nobody.group):
                send_multicast(family, self.index, group, nobody.port)
                counts.append(self._probe_count())
        return counts[0] < counts[1] == counts[2]

    def _probe_count(self) -> int:
        _, sent, *_ = bridge.statistics(bridge.link_state(self.connection, _PROBE_INDEX + 2 * self.number))
        return sent

    def _plug_probe_in(self) -> None:
        """Have a port of our own, so that the switch is up and can be looked at."""
        if self._probe:
            return
        port = _PROBE_INDEX + 2 * self.number
        self.connection.run(
            netlink.veth(
                f"probe{self.number}",
                port,
                mac_address(self.number, 2),
                master=self.index,
                peer=(f"probed{self.number}", port + 1, mac_address(self.number, 3)),
                peer_namespace=self.namespace.descriptor,
                mtu=self.mtu,
            ),
            netlink.no_automatic_addresses(port + 1),
            netlink.link(port + 1, up=True),
        )
        self._probe = True
        for index in (port, self.index):
            self.connection.wait_until_up(index)

    def _read(self, connection: netlink.Netlink) -> tuple[MdbEntry, ...]:
        at: dict[int, tuple[str | None, str]] = {
            port.bridge_index: (port.host.name, port.interface) for port in self._ports
        }
        at |= dict.fromkeys((self.index, _PROBE_INDEX + 2 * self.number), (None, ""))
        return read_mdb(connection, self.index, lambda port: at.get(port, (f"port {port}", "")))

    def _wait(self, there: Callable[[tuple[MdbEntry, ...]], bool], what: str, timeout: float) -> None:
        deadline = Deadline(timeout)
        with self.open() as events, self.open() as connection:
            events.subscribe(EVENTS)  # first, so that no change is missed
            while not there(self._read(connection)):
                if not events.wait(deadline):
                    entries = self._read(connection)
                    listed = "".join(f"\n  {entry}" for entry in entries) or " empty"
                    raise MdbTimeout(f"{what} after {timeout:g} s; {self} has {self._settings}; its MDB is{listed}")


def _always_flooded(group: str) -> bool:
    """Whether a group is flooded, or never reported, so that there is no entry for it (RFC 4541 section 2.1.2)."""
    address = ipaddress.ip_address(group)
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return group == "ff02::1" or address.packed[1] & 0x0F < 2  # interface-local: RFC 3810 section 6
