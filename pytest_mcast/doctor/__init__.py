"""What this environment can do, found out by trying; later: why something was not delivered."""

from __future__ import annotations

from .probes import CAPABILITIES, probe_channel, probe_namespaces, probe_packets

__all__ = ["CAPABILITIES", "probe_channel", "probe_namespaces", "probe_packets"]
