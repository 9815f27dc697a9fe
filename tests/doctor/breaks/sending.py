"""What is broken at the sender."""

from __future__ import annotations

from tests.doctor.scene import Break, Scene


def _ipv6(lab: object) -> Scene:
    return Scene(lab, "ipv6")  # type: ignore[arg-type]


def _no_ttl(scene: Scene) -> None:
    scene.tx.receiver(scene.channel)  # else they leave
    scene.sender_options["ttl"] = 0


def _ttl(scene: Scene) -> None:
    scene.sender_options["ttl"] = 1


BREAKS = (
    Break("ttl 0", "ttl.zero", _no_ttl, _ttl),
    Break("hop limit 0", "ttl.zero", _no_ttl, _ttl, _ipv6),
)
