"""When a host has nothing more to report of its own accord."""

from __future__ import annotations

from collections.abc import Callable

from pytest_mcast import Receiver, VirtualHost
from pytest_mcast.core.deadline import Deadline

# The timer of changes runs once more after the last report, for nothing, which nobody sees (igmp_ifc_timer_expire()); and a
# join that was interrupted half-way is reported three times. So this is how long it may take in a lab: a repetition comes
# within 0.05 s, the answer to a query within 0.1 s.
_PENDING_S = 0.15


def joined_and_silent(host: VirtualHost, opens: Callable[[], Receiver]) -> Receiver:
    """Open a receiver; return it when it is reported as often as it will be, and with it all else that was pending."""
    with host.listen() as wire:
        receiver = opens()
        wire.expect_reports(2, receiver.channel, sender=host)
        wire.wait_for(lambda _: [], Deadline(_PENDING_S))
    return receiver
