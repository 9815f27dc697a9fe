"""What files say of impaired cables: which datagrams are lost, doubled, late, changed. See ``wire.impairment``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_mcast.documents import Document, name_of, show

__all__ = ["CHOICES", "Chosen", "ImpairmentSpec", "read_impairment"]

#: What happens to chosen datagrams.
CHOICES = ("loss", "duplicate", "reorder", "corrupt")

#: Which datagrams: each with a probability, or ``every`` n-th, or ``exactly`` those numbers.
Chosen = float | tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class ImpairmentSpec:
    """What happens to datagrams on the cable of a host or router; ``delay`` in seconds from least to most, ``rate`` in bytes a second."""

    loss: Chosen = 0.0
    duplicate: Chosen = 0.0
    reorder: Chosen = 0.0
    corrupt: Chosen = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    rate: float | None = None
    seed: int = 0

    def __str__(self) -> str:
        words = [f"{name} {_in_words(value)}" for name in CHOICES if (value := getattr(self, name))]
        if self.delay[1]:
            words.append("delay {:g} to {:g} s".format(*self.delay))
        if self.rate is not None:
            words.append(f"rate {self.rate:g} bytes/s")
        return ", ".join([*words, f"seed {self.seed}"])


def _in_words(chosen: Chosen) -> str:
    if not isinstance(chosen, tuple):
        return f"{chosen:g}"
    word, numbers = chosen
    return f"{word} {', '.join(map(str, numbers))}"


def read_impairment(document: Document, where: list[Any], value: Mapping[str, Any]) -> ImpairmentSpec:
    """Read what is said of a cable; raises ``ScenarioError`` for numbers that are none."""
    delay = value.get("delay", 0.0)
    delays = [delay, delay] if isinstance(delay, (int, float)) else list(delay)
    found = {name: _chosen(value.get(name, 0.0)) for name in CHOICES}
    numbers = {"delay": delays[0], "rate": value.get("rate", 1.0), **found}
    for name, number in numbers.items():
        if isinstance(number, float) and math.isnan(number):
            raise document.failure([*where, name], f"{name_of([*where, name])}: {show(number)} is no number")
    if not delays[0] <= delays[1]:
        at = [*where, "delay"]
        text = f"{name_of(at)}: from {show(delays[0])} to {show(delays[1])} s there is nothing; the least comes first"
        raise document.failure(at, text)
    rate = value.get("rate")
    return ImpairmentSpec(
        **found,
        delay=(float(delays[0]), float(delays[1])),
        rate=None if rate is None else float(rate),
        seed=int(value.get("seed", ImpairmentSpec.seed)),
    )


def _chosen(value: float | Mapping[str, Any]) -> Chosen:
    if isinstance(value, (int, float)):
        return float(value)
    if "every" in value:
        return "every", (int(value["every"]),)
    return "exactly", tuple(map(int, value["exactly"]))
