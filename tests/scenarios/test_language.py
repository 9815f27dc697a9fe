"""What the keys of scenario files mean."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from pytest_mcast.core.channels import FAMILIES, MODES, SCOPES
from pytest_mcast.core.errors import ChannelError
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.scenarios import HostSpec, load
from pytest_mcast.scenarios.model import DELIVER, Cell, Expectation, LinkSpec, Party, Step, SubjectSpec, parse_id
from pytest_mcast.scenarios.possible import LARGEST, scopes

from .support import load_text, write_full

TWO = "hosts: {one: virtual, two: virtual}\n"


def _cells(directory: Path, text: str) -> dict[str, Cell]:
    return {cell.id: cell for cell in load_text(directory, text).cells}


def test_hosts_of_each_kind(tmp_path: Path) -> None:
    hosts = load(write_full(tmp_path)).hosts
    assert hosts == {
        "one": HostSpec("one", "virtual", "eth0", {"eth0": "lan"}),
        "two": HostSpec(
            "two",
            "virtual",
            "eth1",
            {"eth0": "quiet", "eth1": "lan"},
            {"net.ipv4.conf.all.force_igmp_version": "2"},
            requires=("packets",),
            notes="The second.",
        ),
        "three": HostSpec("three", "virtual", "eth0", {"eth0": "lan"}),
        "here": HostSpec("here", "local"),
        "linux": HostSpec("linux", "local", "eth0", system="linux"),
        "mac": HostSpec("mac", "remote", "en0", remote="ssh=me@mac.example//python=python3"),
        "android": HostSpec("android", "planned", reason="no device yet"),
    }


def test_a_virtual_host_on_lo_is_on_no_link(tmp_path: Path) -> None:
    scenario = load_text(
        tmp_path,
        "hosts: {solo: {virtual: {interface: lo}}, both: {virtual: {interface: lo, interfaces: {a: lan}}}}\n"
        "matrix: {receiver: [solo], sender: [solo]}\n",
    )
    assert scenario.hosts["solo"] == HostSpec("solo", "virtual", "lo")
    assert scenario.hosts["both"] == HostSpec("both", "virtual", "lo", {"a": "lan"})


def test_the_first_interface_is_used_if_none_is_named(tmp_path: Path) -> None:
    scenario = load_text(tmp_path, "hosts: {a: {virtual: {interfaces: {b: lan, a: lan}}}}")
    assert scenario.hosts["a"].interface == "b"


def test_links_and_the_one_that_needs_no_name(tmp_path: Path) -> None:
    quiet = "quiet: {snooping: true, igmp_version: 2, mld_version: 1, mtu: 1400}"
    assert load_text(tmp_path, TWO).links == {"lan": LinkSpec("lan")}
    assert load_text(tmp_path, TWO + "links: {lan: {mtu: 9000}}").links == {"lan": LinkSpec("lan", mtu=9000)}
    assert load_text(tmp_path, "hosts: {here: local}\n").links == {}
    assert load_text(tmp_path, f"hosts: {{here: local}}\nlinks: {{{quiet}}}").links == {
        "quiet": LinkSpec("quiet", snooping=True, igmp_version=2, mld_version=1, mtu=1400)
    }


def test_subjects_are_shipped_or_described(tmp_path: Path) -> None:
    (tmp_path / "cores").mkdir()
    description = tmp_path / "cores" / "mine.yaml"
    description.write_text("{name: mine, kind: receiver, command: [mine], datagram: ['.*']}")
    scenario = load_text(
        tmp_path,
        TWO + "subjects:\n  mine: {receiver: cores/mine.yaml}\n"
        "  socat: {receiver: socat, sender: socat_send, version: '>=1.8,<2', requires: [programs], notes: x}\n"
        "matrix: {sender: [one, socat@one], receiver: [mine@two], mode: [asm], family: [ipv4]}\n",
    )
    assert scenario.subjects == {
        "mine": SubjectSpec("mine", receiver=str(description)),
        "socat": SubjectSpec("socat", "socat", "socat_send", ">=1.8,<2", ("programs",), "x"),
    }
    assert [(cell.sender, cell.receiver) for cell in scenario.cells] == [
        (Party("one"), Party("two", "mine")),
        (Party("one", "socat"), Party("two", "mine")),
    ]


def test_axes_that_are_left_out_are_in_no_key(tmp_path: Path) -> None:
    cell = load_text(tmp_path, "hosts: {a: virtual}\nmatrix: {family: [ipv6], mode: [ssm]}").cells[0]
    assert cell.id == "ipv6-ssm[a->a]"
    assert (cell.scope, cell.size, cell.ttl, cell.loopback, cell.steps) == (None, None, None, None, DELIVER)
    assert (cell.line, cell.column, cell.path) == (2, 1, tmp_path / "a.mcast.yaml")


def test_axes_that_are_given_are_in_the_key_in_one_order(tmp_path: Path) -> None:
    text = """
        hosts: {a: virtual}
        matrix:
          steps: [deliver]
          loopback: [true, false]
          ttl: [7]
          size: [0x10, 1e3]
          scope: [site-local]
          family: [ipv6]
          mode: [asm]
    """
    cells = _cells(tmp_path, text)
    assert list(cells) == [
        f"ipv6-asm[a->a,scope=site-local,size={size},ttl=7,loopback={loopback},steps=deliver]"
        for size in (16, 1000)
        for loopback in ("true", "false")
    ]
    for name, cell in cells.items():
        assert parse_id(name) == cell.as_dict()
        assert (cell.scope, cell.ttl, cell.steps) == ("site-local", 7, DELIVER)
        assert (cell.size, cell.loopback) == (int(cell.axes["size"]), cell.axes["loopback"] == "true")


def test_steps(tmp_path: Path) -> None:
    scenario = load(write_full(tmp_path))
    (rejoin,) = {cell.steps for cell in scenario.cells if cell.axes.get("steps") == "rejoin"}
    assert list(map(str, rejoin)) == [
        "join",
        "send 3, delivered",
        "leave",
        "send 3, not delivered",
        "join",
        "send 1, delivered",
        "link down",
        "send 3 from three, not delivered",
        "link up",
    ]
    (blocking,) = {cell.steps for cell in scenario.cells if cell.axes.get("steps") == "blocking"}
    assert [step for step in blocking if "block" in step.action] == [
        Step("block"),
        Step("unblock"),
        Step("block", source="three"),
    ]


def test_a_membership_that_was_left_blocks_nobody(tmp_path: Path) -> None:
    steps = "steps: {again: [join, {block: sender}, {send: {arrives: false}}, leave, join, send, {block: sender}]}\n"
    text = f"hosts: {{a: virtual}}\n{steps}matrix: {{mode: [asm], steps: [again]}}\n"
    assert len(_cells(tmp_path, text)) == 2


def test_lists_in_an_exclude_mean_each_of_them(tmp_path: Path) -> None:
    text = TWO + "matrix: {mode: [asm], exclude: [{sender: [one, two], family: ipv4}, {receiver: one}]}"
    assert list(_cells(tmp_path, text)) == ["ipv6-asm[one->two]", "ipv6-asm[two->two]"]


def test_an_included_cell_is_whole_and_may_have_axes_and_attributes_of_its_own(tmp_path: Path) -> None:
    text = """
        hosts: {a: virtual}
        matrix:
          family: [ipv4]
          mode: [asm]
          include:
            - {sender: a, receiver: a, family: ipv4, mode: ssm, size: 9000, expect: fail, reason: large, sometimes: true,
               marks: [big], requires: [packets], notes: note}
            - {sender: a, receiver: a, family: ipv6, mode: ssm, status: planned, reason: later}
    """
    _, large, planned = load_text(tmp_path, text).cells
    assert (large.id, large.line, large.column) == ("ipv4-ssm[a->a,size=9000]", 7, 7)
    assert large.expectation == Expectation("fail", "large", sometimes=True)
    assert (large.marks, large.requires, large.notes, large.planned) == (("big",), ("packets",), "note", None)
    assert (planned.planned, planned.expectation) == ("later", Expectation())


def test_of_rules_the_later_counts_and_lists_add_up(tmp_path: Path) -> None:
    text = """
        hosts: {a: virtual, b: {virtual: {}, requires: [packets]}}
        requires: [namespaces]
        marks: [all]
        matrix: {sender: [a], receiver: [a, b], mode: [asm], size: [1, 2]}
        rules:
          - {cells: {receiver: b}, expect: fail, reason: one, notes: first, marks: [b], requires: [programs]}
          - {cells: {receiver: b, size: [2]}, expect: unsupported, notes: second, marks: [two, all]}
          - {cells: {family: ipv6, size: 2}, expect: pass}
    """
    cells = _cells(tmp_path, text)
    assert cells["ipv4-asm[a->b,size=1]"].expectation == Expectation("fail", "one")
    assert cells["ipv4-asm[a->b,size=2]"].expectation == Expectation("unsupported")
    assert cells["ipv6-asm[a->b,size=2]"].expectation == Expectation()
    assert cells["ipv6-asm[a->b,size=1]"].notes == "first"
    assert cells["ipv4-asm[a->b,size=2]"].notes == "second"
    assert cells["ipv4-asm[a->a,size=1]"].marks == ("all",)
    assert cells["ipv4-asm[a->b,size=2]"].marks == ("all", "b", "two")
    assert cells["ipv4-asm[a->a,size=1]"].requires == ("namespaces",)
    assert cells["ipv4-asm[a->b,size=1]"].requires == ("namespaces", "packets", "programs")


def test_a_rule_holds_for_included_cells_too_and_counts_more(tmp_path: Path) -> None:
    text = TWO + (
        "matrix:\n  family: [ipv4]\n  include:\n"
        "    - {sender: one, receiver: two, family: ipv6, mode: asm, expect: fail, reason: a}\n"
        "rules: [{cells: {family: ipv6}, expect: pass}]\n"
    )
    assert _cells(tmp_path, text)["ipv6-asm[one->two]"].expectation == Expectation()


def test_cells_of_a_planned_host_are_planned(tmp_path: Path) -> None:
    text = """
        hosts: {a: virtual, far: {status: planned, reason: not bought}}
        steps: {third: [join, {send: {from: far, arrives: false}}]}
        matrix: {family: [ipv4], mode: [asm], steps: [deliver, third]}
        rules: [{cells: {sender: far}, status: planned, reason: for another reason}]
    """
    planned = {name: cell.planned for name, cell in _cells(tmp_path, text).items()}
    assert planned["ipv4-asm[a->a,steps=deliver]"] is None
    assert planned["ipv4-asm[a->far,steps=deliver]"] == "not bought"
    assert planned["ipv4-asm[a->a,steps=third]"] == "not bought"
    assert planned["ipv4-asm[far->a,steps=deliver]"] == "for another reason"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", MODES)
def test_the_scopes_that_are_allowed_are_those_with_groups(family: str, mode: str) -> None:
    source = {"ipv4": "10.0.0.1", "ipv6": "fd00::1"}[family] if mode == "ssm" else None
    made = []
    for scope in SCOPES:
        try:
            channel = ChannelPicker(b"seed").pick(family, scope, source=source)
        except ChannelError:
            continue
        made += [scope] if channel.scope == scope else []
    assert sorted(scopes(family, mode)) == sorted(made)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_largest_datagram_is_that_of_the_kernel(family: str) -> None:
    with socket.socket({"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[family], socket.SOCK_DGRAM) as sock:
        sock.bind(({"ipv4": "127.0.0.1", "ipv6": "::1"}[family], 0))
        assert sock.sendto(bytes(LARGEST[family]), sock.getsockname()) == LARGEST[family]
        with pytest.raises(OSError, match="too long"):
            sock.sendto(bytes(LARGEST[family] + 1), sock.getsockname())


def test_anchors_and_aliases_say_things_once(tmp_path: Path) -> None:
    text = """
        hosts: {one: &host {virtual: {}}, two: *host}
        matrix: {sender: &all [one, two], receiver: *all, family: [ipv4], mode: [asm]}
    """
    assert len(_cells(tmp_path, text)) == 4


def test_ten_times_the_cells_take_about_ten_times_as_long(tmp_path: Path) -> None:
    def cost(sizes: int) -> float:
        text = TWO + f"matrix:\n  size: {list(range(1, sizes + 1))}\nrules:\n"
        text += "".join(f"  - {{cells: {{size: {n}}}, notes: x}}\n" for n in range(1, sizes + 1, sizes // 10))
        (tmp_path / "a.mcast.yaml").write_text(text)
        start = time.process_time()
        assert len(load(tmp_path / "a.mcast.yaml").cells) == sizes * 16
        return time.process_time() - start

    cost(10)
    assert cost(300) < 40 * cost(30)
