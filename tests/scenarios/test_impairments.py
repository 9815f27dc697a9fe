"""Cells over impaired cables: what is lost is named, what is not must arrive, and what is proved is weaker."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import Datagram, Delivered, Lab, NotReceived, NoVerdict
from pytest_mcast.cores import CoreFailure, ReceiveCore
from pytest_mcast.lab import ImpairedCable, Link
from pytest_mcast.scenarios import ScenarioError

from ..support.broken_cores import BROKEN, BrokenCore, Faulty
from .stages import Play
from .support import load_text

Open = Callable[..., Play]

HOSTS = "hosts: {one: {virtual: {interfaces: {eth0: bad}}}, two: {virtual: {interfaces: {eth0: bad}}}}\n"
WEAKER = "a fence sent 3 times (weaker: impaired cables)"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def play(lab: Lab, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(text: str, *cores: ReceiveCore, timeout: float = 5.0) -> Play:
            made = Play(lab, tmp_path, text, cores, timeout)
            stack.callback(made.close)
            return made

        yield opened


def bad(impairments: str, more: str = "") -> str:
    return f"links: {{bad: {{{more}impair: {{{impairments}}}}}}}\n{HOSTS}"


def one(family: str, mode: str, steps: str = "[join, {send: {count: 10}}]", receiver: str = "two") -> str:
    """Return the steps and the matrix of one cell."""
    axes = f"sender: [one], receiver: [{receiver}], family: [{family}], mode: [{mode}], steps: [them]"
    return f"steps: {{them: {steps}}}\nmatrix: {{{axes}}}\n"


@pytest.mark.parametrize(("family", "mode"), [("ipv4", "ssm"), ("ipv6", "asm")])
def test_what_is_lost_and_doubled_is_named(play: Open, family: str, mode: str) -> None:
    opened = play(bad("two: {loss: {exactly: [2, 5]}, duplicate: {every: 3}}") + one(family, mode))
    evidence = opened().evidence
    assert evidence[0] == (
        "the cable of two is impaired (loss exactly 2, 5, duplicate every 3, seed 0), by a wire in user space"
    )
    assert evidence[1] == (
        "11 datagrams delivered as they came in (ready by kernel membership): "
        "10 were sent; by the cable to two lost: 2, 5, doubled: 3, 6, 9"
    )
    never = ["group.other", "ssm.wrong-source"] if mode == "ssm" else ["group.other"]
    assert list(evidence[2:]) == [f"{case} not delivered, by control and {WEAKER}" for case in never]
    assert opened().evidence == evidence  # each cell begins anew


def test_the_order_in_which_it_comes_in_is_that_of_delivery(play: Open) -> None:
    opened = play(bad("two: {reorder: {exactly: [1, 10]}}") + one("ipv4", "asm"))
    assert opened().evidence[1].endswith("10 were sent; by the cable to two delivered after the next one: 1, 10")
    numbers = [int(match[1]) for match in re.finditer(r"received (\d+) bytes", str(opened.story.timeline()))]
    assert len(numbers) == 10


def test_what_is_corrupted_does_not_arrive(play: Open) -> None:
    evidence = play(bad("one: {corrupt: {every: 2}}") + one("ipv6", "ssm"))().evidence
    assert evidence[1].startswith("5 datagrams delivered as they came in")
    assert evidence[1].endswith("10 were sent; by the cable from one changed: 2, 4, 6, 8, 10")


@pytest.mark.parametrize("snooping", ["", "snooping: true, "], ids=["flat", "snooping"])
def test_what_is_not_delivered_over_a_bad_cable(play: Open, snooping: str) -> None:
    steps = """[{send: {arrives: false, count: 4}}, join, {block: sender}, {send: {arrives: false, count: 5}},
      {unblock: sender}, {send: {count: 4}}, leave, {send: {arrives: false}}]"""
    evidence = play(bad("two: {loss: {every: 3}}", snooping) + one("ipv4", "asm", steps))().evidence
    told = [line for line in evidence[1:] if "not delivered" in line]
    assert len(told) == 3
    assert all(f"not delivered, by control and {WEAKER}: " in line for line in told)
    if not snooping:
        assert told[0].endswith(": the tap of two saw it come in on eth0; 1 of 4 lost on the way")


def test_a_switch_has_heard_of_what_is_unblocked_also_over_a_slow_cable(play: Open) -> None:
    steps = "[join, {block: sender}, {unblock: sender}, {send: {count: 4}}]"
    opened = play(bad("two: {delay: 0.3}", "snooping: true, ") + one("ipv4", "asm", steps))
    opened()
    blocked, unblocked = (each.time_s for each in opened.story.timeline() if "blocked" in each.what)
    assert unblocked - blocked >= 0.3


@pytest.mark.parametrize("mode", ["asm", "ssm"])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_switch_has_heard_of_who_joins_again_also_over_a_slow_cable(play: Open, family: str, mode: str) -> None:
    opened = play(
        bad("two: {delay: 0.3}", "snooping: true, ") + one(family, mode, "[join, leave, join, {send: {count: 4}}]")
    )
    opened()
    left, joined = (each.time_s for each in opened.story.timeline() if each.what in ("left", "joined again"))
    assert joined - left >= 0.3


def test_over_a_router_cables_add_up(play: Open) -> None:
    text = """\
links: {bad: {impair: {one: {loss: {exactly: 2}}, r1: {loss: {exactly: 3}}}}, right: {snooping: true, impair: {r1: {duplicate: {exactly: 1}}}}}
routers: {r1: {interfaces: {eth0: bad, eth1: right}}}
hosts: {one: {virtual: {interfaces: {eth0: bad}}}, two: {virtual: {interfaces: {eth0: right}}}}
"""
    text = re.sub(r"exactly: (\d)", r"exactly: [\1]", text)
    evidence = play(text + one("ipv4", "ssm", "[join, {send: {count: 5}}]"))().evidence
    assert [line.partition(" is impaired")[0] for line in evidence[:2]] == ["the cable of one", "the cable of r1"]
    told = next(line for line in evidence if "were sent" in line)
    assert told.startswith("4 datagrams delivered as they came in (ready by MDB entry ")
    assert told.endswith(
        "5 were sent; by the cable from one lost: 2; by the cable to r1 lost: 4; by the cable from r1 doubled: 1"
    )


def test_where_everything_is_lost_nothing_is_shown(play: Open) -> None:
    opened = play(bad("two: {loss: 1}") + one("ipv4", "asm", "[join, {send: {count: 2}}]"))
    with pytest.raises(NoVerdict) as caught:
        opened()
    assert str(caught.value) == (
        "no verdict on send 2, delivered: nothing came over the impaired cables\nby the cable to two lost: 1, 2"
    )


class Loses(Faulty):
    """Does not deliver the datagrams 4 and 8 of a cell."""

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        words = datagram.payload.split()
        return [] if words[:1] == [b"pytest-mcast"] and words[2:3] in ([b"4"], [b"8"]) else [datagram]


def test_what_a_receiver_loses_is_no_loss_of_the_cable(play: Open) -> None:
    core = BrokenCore("loses-some", Loses)
    text = bad("two: {loss: {exactly: [2]}}") + "subjects: {it: {receiver: loses-some}}\n"
    opened = play(text + one("ipv4", "asm", receiver="it@two"), core, timeout=0.5)
    with pytest.raises(NotReceived, match="only 7 of 9 datagrams that came in for "):
        opened()


class Swaps(Faulty):
    """Delivers the third datagram of a cell after the fourth."""

    held: Datagram | None = None

    def told(self, datagram: Datagram) -> Iterable[Datagram]:
        words = datagram.payload.split()
        if words[:1] == [b"pytest-mcast"] and words[2:3] == [b"3"]:
            self.held = datagram
            return []
        if self.held is None:
            return [datagram]
        held, self.held = self.held, None
        return [datagram, held]


def test_an_order_that_is_not_the_cables_is_found(play: Open) -> None:
    core = BrokenCore("swaps", Swaps)
    text = bad("two: {reorder: {exactly: [1]}}") + "subjects: {it: {receiver: swaps}}\n"
    with pytest.raises(CoreFailure, match=r"datagram 3 of 10 that came in was delivered otherwise.*: payload"):
        play(text + one("ipv4", "asm", receiver="it@two"), core)()


def test_a_cable_is_whole_after_its_cell_and_in_cells_of_others(play: Open) -> None:
    text = bad("two: {loss: {every: 2}}").replace("hosts: {", "hosts: {three: {virtual: {interfaces: {eth0: bad}}}, ")
    opened = play(text + "matrix: {sender: [one], receiver: [two, three], family: [ipv4], mode: [asm]}\n")
    assert "impaired" in opened("ipv4-asm[one->two]").evidence[0]
    assert opened("ipv4-asm[one->three]").evidence == (
        "3 datagrams delivered in order (ready by kernel membership)",
        "group.other not delivered, by control and fence",
    )
    assert not opened.stage.station("two").port.link.impaired  # type: ignore[union-attr] # it has one


def test_a_cell_that_goes_wrong_leaves_the_cable_whole(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = play(bad("two: {loss: 1}") + one("ipv4", "asm"))
    cables = list[ImpairedCable]()
    impair = Link.impair

    def laid(self: Link, *where: Any, **options: Any) -> ImpairedCable:
        cables.append(impair(self, *where, **options))
        return cables[-1]

    monkeypatch.setattr(Link, "impair", laid)
    for _ in range(2):
        with pytest.raises(NoVerdict):
            opened()
    assert len(cables) == 2
    assert not cables[0].port.link.impaired


def test_a_core_that_delivers_what_it_must_not_is_found_over_a_bad_cable(play: Open) -> None:
    text = bad("two: {loss: {every: 4}}") + "subjects: {it: {receiver: ignores-source}}\n"
    with pytest.raises(Delivered, match=r"ssm\.wrong-source"):
        play(text + one("ipv4", "ssm", receiver="it@two"), BROKEN["ignores-source"]())()


@pytest.mark.parametrize(
    ("impair", "more", "place", "error"),
    [
        ("{tow: {loss: 1}}", "", "1:24", "links.bad.impair.tow: there is no host or router on the link bad called 'tow'; did you mean 'two'?"),
        ("{two: {}}", "", "1:24", "links.bad.impair.two has none of the keys loss, duplicate, reorder, corrupt, delay, rate"),
        ("{two: {seed: 3}}", "", "1:24", "links.bad.impair.two has none of the keys loss"),
        ("{two: {los: 0.1}}", "", "1:30", "links.bad.impair.two has no key 'los'; did you mean 'loss'?"),
        ("{two: {loss: 1.5}}", "", "1:36", "links.bad.impair.two.loss: 1.5 is not allowed; allowed: 0 to 1"),
        ("{two: {loss: .nan}}", "", "1:36", "links.bad.impair.two.loss: nan is no number"),
        ("{two: {loss: lots}}", "", "1:36", "links.bad.impair.two.loss: 'lots' is a text, where a number belongs"),
        ("{two: {loss: {every: 0}}}", "", "1:44", "links.bad.impair.two.loss.every: 0 is not allowed; allowed: 1 to 1000000"),
        ("{two: {loss: {evry: 2}}}", "", "1:37", "links.bad.impair.two.loss has no key 'evry'; did you mean 'every'?"),
        ("{two: {loss: {exactly: []}}}", "", "1:37", "links.bad.impair.two.loss.exactly is empty"),
        ("{two: {delay: [2, 1]}}", "", "1:30", "links.bad.impair.two.delay: from 2 to 1 s there is nothing; the least comes first"),
        ("{two: {delay: [2]}}", "", "1:30", "links.bad.impair.two.delay has 1, and 2 are the least"),
        (
            "{two: {loss: 0.1}}",
            "matrix: {sender: [one], receiver: [two], family: [ipv6], size: [1452, 1453]}\n",
            "3:71",
            "matrix.size.1: 1453 with one, two, ipv6, asm: it would be in fragments, each of which the cable of two loses by itself; no more than 1452",
        ),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, impair: str, more: str, place: str, error: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(tmp_path, f"links: {{bad: {{impair: {impair}}}}}\n{HOSTS}{more}")
    _, line, column, said = str(caught.value).split(":", 3)
    assert said.strip().startswith(error)
    assert f"{line}:{column}" == place
