"""The conformance suite for receive cores: ``pytest --pyargs pytest_mcast.conformance --mcast-core=...``."""

from __future__ import annotations

__all__: list[str] = []
