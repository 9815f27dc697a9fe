"""Makes what is sent of packets: with a mark, a number, an identification and, where that is needed, a port of its own."""

from __future__ import annotations

import secrets
from dataclasses import fields, replace
from typing import Any

from .build import Packet
from .checks import WORDS
from .marks import new_mark
from .raw import Raw
from .shot import Shot
from .template import Template
from .words import Words

__all__ = ["DYNAMIC_PORT", "Crafter"]

#: The first dynamic port (RFC 6335 section 6).
DYNAMIC_PORT, _PORTS = 49152, 16384
_CHANGES = tuple(sorted({one.name for one in fields(Packet)} - {"mtu"}))
_FENCE_SIZE, _FENCE_FRAGMENT = 256, 128  # of a fence that is fragmented, like the probe


class Crafter:
    """Makes shots; those with a mark are built once, and get another mark each time.

    ``run`` is the number in all marks; ``marks`` says whether all receivers can see a mark, else ports must do.
    """

    def __init__(self, legitimate: Packet, words: Words, run: int, *, marks: bool) -> None:
        self._legitimate = legitimate
        self._words = words
        self._run = run
        self._marks = marks
        self._number = 0
        self._port = legitimate.source_port or 0
        self._identification = secrets.randbits(32)  # fresh for each datagram: fragments of two must never mix
        self._templates: dict[Packet, Template] = {}
        self._completed: dict[tuple[Packet, tuple[tuple[str, Any], ...]], Packet] = {}
        self._fences: dict[tuple[Packet, bool], Packet] = {}

    def complete(self, packet: Packet, changes: dict[str, Any]) -> Packet:
        """Return a packet with nothing left to say but its source port, if that is to be a new one."""
        key = packet, tuple(changes.items())
        if key not in self._completed:
            unknown = [name for name in changes if name not in _CHANGES]
            if unknown:
                raise ValueError(f"a probe has no {', '.join(unknown)}; it has {', '.join(_CHANGES)}")
            said = {name: value for name in WORDS if (value := getattr(packet, name)) is not None}
            found = replace(packet, **self._words.resolved({**said, **changes}))
            own_port = found.source_port is not None or (found.marked and self._marks)
            found = found.over(self._legitimate)
            self._completed[key] = found if own_port else replace(found, source_port=None)
        return self._completed[key]

    def shot(self, packet: Packet, prefix: str = "") -> Shot:
        """Make one of a complete packet; ``prefix`` goes before its name."""
        self._number += 1
        self._identification += 2  # one more is for fragments that are strange
        mark = new_mark(self._run, self._number)
        unique = packet.source_port is None
        if unique:
            self._port = DYNAMIC_PORT + (self._port + 1) % _PORTS
            packet = replace(packet, source_port=self._port)
        if packet.marked and self._marks:
            template = self._templates.get(packet)
            if template is None:
                template = self._templates[packet] = Template(packet)
        else:
            template = Template(packet, mark)
        return Shot(
            self._number,
            prefix + template.name,
            tuple(template.frames(mark, self._identification)),
            template.payload_with(mark),
            template.labels,
            packet.marked,
            unique,
            packet.copies,
        )

    def raw_shot(self, what: Raw, prefix: str = "") -> Shot:
        """Make one of what is sent as it is; ``prefix`` goes before its name."""
        self._number += 1
        frames = tuple(what.frames(self._legitimate.source_mac or ""))
        seen = what.read(frames)
        labels: dict[str, Any] = {}
        payload = what.payload
        if seen is not None:
            labels = dict(
                zip(("source", "source_port", "group", "port"), (*seen.source, *seen.destination), strict=True)
            )
            if payload is None and len(frames) == 1:
                payload = seen.payload
        return Shot(self._number, f"{prefix}{what}", frames, payload, labels, marked=False)

    def fence(self, legitimate: Packet, *, fragmented: bool) -> Shot:
        """Make a fence, which the receiver of that legitimate datagram must deliver."""
        packet = self._fences.get((legitimate, fragmented))
        if packet is None:
            packet = legitimate
            if fragmented:
                packet = replace(packet, size=_FENCE_SIZE, fragment=_FENCE_FRAGMENT)
            if not self._marks:
                packet = replace(packet, source_port=None)
            self._fences[legitimate, fragmented] = packet
        return self.shot(packet)
