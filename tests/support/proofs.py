"""Makes proofs with all cores busy, and compares each verdict with what is known: ``proofs.py [COUNT]`` (default 20000).

Every edge case on every kind of channel, to receivers of ours and to broken ones, in random order, as root or not.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pytest_mcast import Delivered, Lab, McastError, Sender
from pytest_mcast.lab.private import enter_private_network
from pytest_mcast.packets import Prober, cases
from tests.packets.test_broken_receivers import IgnoresTheSource
from tests.support.soak import busy_cores

KINDS = [(family, mode) for family in ("ipv4", "ipv6") for mode in ("asm", "ssm")]
LARGEST = 100  # a 45-fragment datagram takes as long as twenty others: every hundredth of its turns will do


class Kind:
    """Hosts, receivers and probers of one kind of channel."""

    def __init__(self, stack: ExitStack, lab: Lab, family: str, mode: str) -> None:
        rx, tx, other = lab.hosts(3)
        channel, another = (lab.channel(family, source=tx if mode == "ssm" else None) for _ in range(2))
        broken = IgnoresTheSource(another, rx)
        stack.callback(broken.close)
        self.mode = mode
        self.cases = list(cases(family, mode))
        self.receiver = stack.enter_context(rx.receiver(channel))
        self.strict = stack.enter_context(Prober(self.receiver, tx, rx))
        self.broken = stack.enter_context(Prober(broken, tx, rx))
        self.fence: Sender = stack.enter_context(tx.sender(channel))
        self.other: Sender = stack.enter_context(other.sender(channel))

    def one(self, chance: random.Random) -> tuple[str, bool, bool]:
        """Make one proof; return what it was about, what is true, and whether the verdict is "delivered"."""
        way = chance.randrange(4)
        if way == 0:
            return "expect_nothing", self.mode == "asm", self._arrives()
        case = chance.choice(self.cases)
        if case.id == "size.largest" and chance.randrange(LARGEST):
            case = self.cases[0]
        if way == 1:
            # Bound to the wildcard address, joined from any source: wrong source and wrong group do get through.
            through = case.delivered or case.id.startswith(("ssm.", "group."))
            return f"broken receiver, {case.id}", through, self.broken(case).delivered
        return case.id, case.delivered, self.strict(case).delivered

    def _arrives(self) -> bool:
        try:
            self.receiver.expect_nothing(self.other.send(b"from another host"), fence=self.fence)
        except Delivered:
            return True
        return False


def proofs(lab: Lab, count: int, seed: int) -> Iterator[tuple[str, bool, bool]]:
    """Yield that many proofs."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    with ExitStack() as stack:
        kinds = [Kind(stack, lab, *kind) for kind in KINDS]
        for _ in range(count):
            yield chance.choice(kinds).one(chance)


def main(lab: Lab, count: int) -> int:
    """Make the proofs, print what they were, and return 1 if one was wrong."""
    seed = random.SystemRandom().randrange(1 << 32)
    made: Counter[str] = Counter()
    wrong = []
    with busy_cores():
        try:
            for name, truth, verdict in proofs(lab, count, seed):
                made[f"{name}: {'delivered' if truth else 'not delivered'}"] += 1
                if verdict is not truth:
                    wrong.append(f"{name}: the verdict was {'delivered' if verdict else 'not delivered'}")
        except McastError as error:
            wrong.append(f"{type(error).__name__} after {made.total()} proofs: {error}")
    for line in wrong[:10]:
        print(line)
    for name, number in sorted(made.items()):
        print(f"{number:7} {name}")
    print(f"proofs: {made.total()} with all cores busy, {len(wrong)} wrong (seed {seed})")
    return 1 if wrong or made.total() != count else 0


if __name__ == "__main__":
    network = enter_private_network({"eth0": None})
    code = main(network.lab, int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    network.close()
    sys.exit(code)
