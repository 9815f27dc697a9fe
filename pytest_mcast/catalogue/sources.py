"""Where a datagram says it comes from."""

from __future__ import annotations

from pytest_mcast.packets import drop, udp

from .case import register
from .probing import ProbeCase

__all__: list[str] = []

register(
    ProbeCase(
        "ssm.wrong-source",
        "from another source than the channel's",
        "MUST",
        "RFC 4607 section 4.2, RFC 3376 section 3.2",
        "a source-specific receiver gets its source only",
        modes=("ssm",),
        probe=udp(source="other"),
        expect=drop(),
    ),
    ProbeCase(
        "ssm.wrong-source-with-neighbour",
        "from another source, which another receiver of the host wants",
        "MUST",
        "RFC 4607 section 4.2, RFC 3376 section 3.2",
        "what others want is nothing to this receiver",
        modes=("ssm",),
        probe=udp(source="other"),
        neighbour=True,
        expect=drop(),
    ),
)
