"""``mutations.py [COUNT [SEED...]]``: random mutations of valid packets, each judged; the same seed twice (default 5000, 10 seeds)."""

from __future__ import annotations

import random
import sys
from collections import Counter

from pytest_mcast import Channel, Lab, NoVerdict
from pytest_mcast.packets import Prober, Template, deliver, raw, udp
from pytest_mcast.packets.marks import new_mark

__all__ = ["mutated", "verdicts"]


def mutated(rng: random.Random, frame: bytes) -> bytes:
    """Return a frame with one to four changes: bits, octets, a part cut out, doubled, swapped, put in, or the end cut off."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(max(1, len(data)))
        match rng.randrange(7):
            case 0 if data:
                data[place] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[place] = rng.randrange(256)
            case 2:
                del data[place : place + rng.randint(1, 8)]
            case 3:
                data[place:place] = data[place : place + rng.randint(1, 8)]
            case 4:
                end = place + rng.randint(1, 4)
                data[place:end] = data[place:end][::-1]
            case 5:
                data[place:place] = rng.randbytes(rng.randint(1, 8))
            case _:
                del data[max(14, place) :]
    return bytes(data)


def verdicts(family: str, group: str, seed: int, count: int) -> list[str]:
    """Send so many mutations in a network of their own; return what became of each.

    The built-in receiver must work before and afterwards.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    found = []
    with Lab() as lab:  # in which everything has the same addresses each time
        rx, tx = lab.direct()
        receiver = rx.receiver(Channel(group, 40000))
        with Prober(receiver, tx, rx) as probe:
            probe().expect(deliver())
            base = udp(payload=b"what is changed at random " * 3, source_port=50000).over(probe.legitimate)
            frames = [
                Template(base).frames(new_mark(1, 1), 1)[0],
                *Template(base.fragmented(64)).frames(new_mark(1, 1), 2),
            ]
            for _ in range(count):
                frame = mutated(rng, rng.choice(frames))
                try:
                    found.append(f"delivered {len(probe(raw(frame)).datagrams)}")
                except NoVerdict as error:
                    found.append(str(error).partition("\n")[0].partition(":")[0])
            probe().expect(deliver())
    return found


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    seeds = list(map(int, sys.argv[2:])) or list(range(10))
    for seed in seeds:
        for family, group in (("ipv4", "239.255.77.1"), ("ipv6", "ff12::77:1")):
            first, second = (verdicts(family, group, seed, count) for _ in range(2))
            print(f"seed {seed}, {family}: {dict(Counter(first))}", flush=True)
            if first != second:
                number = next(n for n, pair in enumerate(zip(first, second, strict=True)) if len(set(pair)) > 1)
                print(f"mutation {number} was {first[number]!r}, and then {second[number]!r}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
