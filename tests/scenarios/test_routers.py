"""Cells over routers: the way, the TTL, what is proved there, and what is refused when a file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_mcast import Delivered, Lab, NotReceived
from pytest_mcast.cores import ReceiveCore
from pytest_mcast.lab import Router
from pytest_mcast.scenarios import ScenarioError
from pytest_mcast.scenarios.model import RouterSpec
from pytest_mcast.scenarios.paths import Hop, Paths

from ..support.broken_cores import BROKEN
from .stages import Play
from .support import load_text

Open = Callable[..., Play]

NETWORK = """\
links: {left: {}, middle: KIND, right: KIND}
routers:
  r1: {interfaces: {eth0: left, eth1: middle}}
  r2: {interfaces: {eth0: middle, eth1: right}}
hosts:
  one: {virtual: {interfaces: {eth0: left}}}
  mid: {virtual: {interfaces: {eth0: middle}}}
  two: {virtual: {interfaces: {eth0: right}}}
"""
FLAT, SNOOPING = NETWORK.replace("KIND", "{}"), NETWORK.replace("KIND", "{snooping: true}")
KINDS = [(family, mode) for family in ("ipv4", "ipv6") for mode in ("asm", "ssm")]
NEVER = ", by control and fence, on its link from the router r2"


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


def one(family: str, mode: str, more: str = "", *, sender: str = "one", receiver: str = "two") -> str:
    """Return the matrix of one cell."""
    return f"matrix: {{sender: [{sender}], receiver: [{receiver}], family: [{family}], mode: [{mode}]{more}}}\n"


def steps(text: str) -> str:
    return f"steps: {{them: {text}}}\n"


@pytest.mark.parametrize(("family", "mode"), KINDS)
@pytest.mark.parametrize("network", [FLAT, SNOOPING], ids=["flat", "snooping"])
def test_a_cell_over_two_routers(play: Open, network: str, family: str, mode: str) -> None:
    opened = play(network + one(family, mode))
    evidence = opened().evidence
    assert evidence[0] == "from one over the routers r1 and r2, with TTL 3"
    assert evidence[1].startswith("3 datagrams delivered in order (ready by ")
    never = ["group.other", "ssm.wrong-source"] if mode == "ssm" else ["group.other"]
    assert list(evidence[2:]) == [f"{case} not delivered{NEVER}" for case in never]


@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_entries_are_for_the_source_or_for_any_and_are_taken_away(
    play: Open, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    there, taken = list[tuple[str, str | None]](), list[tuple[str, str | None]]()
    route, unroute = Router.route, Router.unroute

    def set_entry(self: Router, group: str, incoming: str, outgoing: list[str], *, source: str | None) -> None:
        route(self, group, incoming, outgoing, source=source)
        there.append((self.name, source))

    def take_entry(self: Router, group: str, incoming: str, *, source: str | None) -> None:
        unroute(self, group, incoming, source=source)
        there.remove((self.name, source))
        taken.append((self.name, source))

    monkeypatch.setattr(Router, "route", set_entry)
    monkeypatch.setattr(Router, "unroute", take_entry)
    arrives = "true" if mode == "asm" else "false"
    opened = play(
        FLAT + steps(f"[join, {{send: {{from: mid, arrives: {arrives}}}}}]") + one("ipv4", mode, ", steps: [them]")
    )
    opened()
    sender, other = (opened.stage.station(name).source("ipv4", None) for name in ("one", "mid"))
    mine = None if mode == "asm" else sender
    assert (there, taken) == ([], [("r2", other), ("r2", mine), ("r1", mine)])


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("network", [FLAT, SNOOPING], ids=["flat", "snooping"])
def test_steps_over_routers(play: Open, network: str, family: str) -> None:
    sequence = """[{send: {arrives: false}}, join, send, {send: {from: mid}}, {block: mid},
      {send: {from: mid, arrives: false}}, {block: sender}, {send: {arrives: false}}, leave, {send: {arrives: false}}]"""
    evidence = play(network + steps(sequence) + one(family, "asm", ", steps: [them]"))().evidence
    assert evidence[:2] == (
        "from one over the routers r1 and r2, with TTL 3",
        "from mid over the router r2, with TTL 2",
    )
    words = ["3 datagrams sent before it joined not delivered, by control and fence"]
    words += ["3 datagrams delivered in order", "3 datagrams from mid delivered in order"]
    words += ["3 datagrams from mid not delivered, by control and fence"]
    words += ["3 datagrams not delivered, by control and fence"] * 2
    assert [line.partition(":")[0].partition(" (ready")[0] for line in evidence[2:]] == words
    seen = "the switch got it from r2" if network is SNOOPING else "the tap of two saw it come in on eth0"
    assert [line.partition(": ")[2] for line in evidence if "control" in line] == [seen] * 4


def test_the_cable_behind_a_router(play: Open) -> None:
    sequence = "[join, send, {link: down}, {send: {arrives: false}}, {link: up}, send]"
    evidence = play(FLAT + steps(sequence) + one("ipv4", "ssm", ", steps: [them]"))().evidence
    assert "3 datagrams not delivered, by control and fence: the switch got it from r2" in evidence
    assert evidence[-1] == f"ssm.wrong-source not delivered{NEVER}"


@pytest.mark.parametrize(("family", "ttl", "told"), [("ipv4", 3, 1), ("ipv6", 255, 253)])
def test_a_ttl_that_is_enough(play: Open, family: str, ttl: int, told: int) -> None:
    evidence = play(FLAT + one(family, "ssm", f", ttl: [{ttl}]"))().evidence
    assert evidence[:2] == (f"from one over the routers r1 and r2, with TTL {ttl}", f"TTL {told} on arrival")


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize(("ttl", "second"), [(1, 0), (2, 3)])
def test_a_ttl_that_is_spent_on_the_way_fails_at_once_and_is_named(
    play: Open, family: str, ttl: int, second: int
) -> None:
    opened = play(FLAT + one(family, "ssm", f", ttl: [{ttl}]"))
    with pytest.raises(NotReceived) as caught:
        opened()
    sentence, *more = opened.failure(caught.value).splitlines()
    assert sentence.startswith(f"TTL {ttl} and 2 routers on the way (r1 and r2): none of 3 datagrams for ")
    assert sentence.endswith(" on eth0 of two, and a fence arrived after them")
    assert more[:2] == [
        "  router r1: 3 packets came in by eth0 for it",
        f"  router r2: {second} packets came in by eth0 for it",
    ]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_that_a_ttl_keeps_it_on_its_link_can_be_what_is_expected(play: Open, family: str) -> None:
    evidence = play(
        FLAT + steps("[join, {send: {arrives: false}}]") + one(family, "asm", ", ttl: [2], steps: [them]")
    )()
    assert evidence.evidence[0] == (
        "with TTL 2 and 2 routers on the way (r1 and r2), 3 datagrams not delivered, by control and fence: "
        "the switch got it from one"
    )


def test_what_a_router_loses_is_told_by_its_counters(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    route = Router.route

    def wrong(self: Router, group: str, incoming: str, outgoing: list[str], *, source: str | None) -> None:
        if self.name == "r2":
            incoming, outgoing = "eth1", ["eth0"]
        route(self, group, incoming, outgoing, source=source)

    monkeypatch.setattr(Router, "route", wrong)
    monkeypatch.setattr(Router, "unroute", lambda *_, **__: None)
    opened = play(FLAT + one("ipv4", "ssm"), timeout=0.2)
    with pytest.raises(NotReceived) as caught:
        opened()
    assert str(caught.value).splitlines()[1:3] == [
        "router r1: 3 packets came in by eth0 for it",
        "router r2: 0 packets came in by eth0 for it, and 3 by another interface",
    ]


def test_a_receiver_that_looks_at_no_source_is_found_out_behind_a_router(play: Open) -> None:
    text = FLAT + "subjects: {it: {receiver: ignores-source}}\n" + one("ipv4", "ssm", receiver="it@two")
    with pytest.raises(Delivered, match=r"ssm\.wrong-source"):
        play(text, BROKEN["ignores-source"]())()


# The way.


def routers(**interfaces: str) -> Paths:
    """Return the paths over routers whose interfaces are on the links of these letters."""
    return Paths(
        {
            name: RouterSpec(name, {f"eth{number}": link for number, link in enumerate(links)})
            for name, links in interfaces.items()
        }
    )


def test_the_shortest_way_is_taken_and_of_two_that_of_the_first_routers() -> None:
    paths = routers(r1="ab", r2="bc", r3="cd", r4="db", r5="bd")
    assert paths.find("a", "a") == ()
    assert paths.find("a", "d") == (Hop("r1", "eth0", "eth1"), Hop("r4", "eth1", "eth0"))
    assert paths.find("d", "a") == (Hop("r4", "eth0", "eth1"), Hop("r1", "eth1", "eth0"))
    assert paths.find("a", "c") == (Hop("r1", "eth0", "eth1"), Hop("r2", "eth0", "eth1"))
    assert paths.find("a", "z") is None


# What is refused.

HOSTS = "hosts:\n  one: {virtual: {interfaces: {eth0: left}}}\n  two: {virtual: {interfaces: {eth0: right}}}\n"


@pytest.mark.parametrize(
    ("text", "place", "error"),
    [
        (
            "links: {left: {}, right: {}}\n" + HOSTS + "matrix: {sender: [one], receiver: [two]}\n",
            "5:36",
            (
                "matrix.receiver.0: 'two' with one, two, ipv4, asm: nothing gets from host to host: one uses eth0 on the link left "
                "and two uses eth0 on the link right, and no router leads from left to right; leave such cells out by matrix.exclude"
            ),
        ),
        (
            "links: {left: {}, right: {}}\nrouters:\n  r1: {interfaces: {eth0: left, eth1: rigth}}\n" + HOSTS,
            "3:39",
            "routers.r1.interfaces.eth1: there is no link 'rigth'; did you mean 'right'? allowed: lan, left, right",
        ),
        (
            "links: {left: {}, right: {}}\nrouters:\n  two: {interfaces: {eth0: left, eth1: right}}\n" + HOSTS,
            "3:3",
            "routers.two: the name 'two' is that of a host already; choose another one",
        ),
        (
            "links: {left: {}, right: {}}\nrouters:\n  r1: {interfaces: {eth0: left, lo: right}}\n" + HOSTS,
            "3:33",
            "routers.r1.interfaces.lo: lo is on no link; leave it out, it is there",
        ),
        (
            "links: {left: {}, right: {}}\nrouters:\n  r1: {interfaces: {eth0: left}}\n" + HOSTS,
            "3:8",
            "routers.r1.interfaces",
        ),
        (
            "links: {left: {}, right: {}}\nrouters:\n  r1: {interfaces: {eth0: left, eth1: right}}\n"
            + HOSTS
            + "matrix:\n  sender: [one]\n  receiver: [two]\n  family: [ipv6]\n  scope: [site-local, link-local]\n",
            "11:23",
            (
                "matrix.scope.1: 'link-local' with one, two, ipv6, asm: no router forwards groups of scope link-local, "
                "and from one to two the way is over r1; leave such cells out by matrix.exclude"
            ),
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, place: str, error: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(tmp_path, text)
    _, line, column, said = str(caught.value).split(":", 3)
    assert f"{line}:{column}" == place
    assert said.strip().startswith(error)
