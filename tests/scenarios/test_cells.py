"""Cells on the real kernel: what is shown in them, what fails them, and what is said then."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mcast import Datagram, Delivered, HostError, Lab, MissingCapability, NotReceived, NoVerdict, Sender, Sent
from pytest_mcast.cores import FIELDS, CoreFailure, ReceiveCore
from pytest_mcast.cores.builtin import BuiltInCore
from pytest_mcast.hosts import RemoteHost, RemoteSender
from pytest_mcast.scenarios import Excused, Unready, run

from ..support.broken_cores import BROKEN, BrokenCore, Faulty
from .stages import Play

Open = Callable[..., Play]

TWO = "hosts: {one: virtual, two: virtual}\n"
OTHER = f'{{remote: "popen//python={sys.executable}", interface: lo}}'  # a process that stands for another machine


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


def one(more: str = "", *, sender: str = "one", receiver: str = "two", family: str = "ipv4", mode: str = "asm") -> str:
    """Return the matrix of one cell."""
    return f"matrix: {{sender: [{sender}], receiver: [{receiver}], family: [{family}], mode: [{mode}]{more}}}\n"


def steps(text: str) -> str:
    return f"steps: {{them: {text}}}\n"


# What is shown.


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_source_specific_cell_shows_delivery_and_what_is_not_delivered(play: Open, family: str) -> None:
    result = play(TWO + one(family=family, mode="ssm"))()
    assert result.evidence == (
        "3 datagrams delivered in order (ready by kernel membership)",
        "group.other not delivered, by control and fence",
        "ssm.wrong-source not delivered, by control and fence",
    )
    assert result.reported == {"ipv4": "IGMPv3", "ipv6": "MLDv2"}[family]


def test_the_timeline_has_what_was_sent_and_received_with_the_kernels_times(play: Open) -> None:
    timeline = play(TWO + one())().timeline
    assert [event.time_s for event in timeline] == sorted(event.time_s for event in timeline)
    packets = [(event.host, event.what.split()[0]) for event in timeline if event.kind == "packet"]
    assert [packet for packet in packets if packet[1] in ("sent", "received")] == [
        ("one", "sent"),
        ("two", "received"),
    ] * 3
    told = [event for event in timeline if not event.what.startswith("IGMP")]  # the report of the join may come first
    assert told[0].what.startswith("joined 239.255.")
    assert timeline[0].time_s == 0


def test_the_report_of_the_join_is_in_the_timeline_of_the_first_cell(play: Open) -> None:
    timeline = play(TWO + one(mode="ssm"))().timeline
    assert any("ALLOW_NEW_SOURCES 232." in event.what and event.host == "two" for event in timeline)


@pytest.mark.parametrize(("family", "reported"), [("ipv4", "IGMPv2"), ("ipv6", "MLDv1")])
def test_an_older_version_is_named_in_evidence_and_failures(play: Open, family: str, reported: str) -> None:
    sysctl = "{net.ipv4.conf.all.force_igmp_version: 2, net.ipv6.conf.all.force_mld_version: 1}"
    text = f"hosts: {{one: virtual, old: {{virtual: {{sysctl: {sysctl}}}}}}}\n"
    opened = play(text + one(receiver="old", family=family, mode="ssm"))
    result = opened()
    assert result.reported == reported
    assert result.evidence[-1] == f"old reported {reported}, in which there are no sources"
    sentence = opened.failure(NotReceived("no datagram")).splitlines()[0]
    assert sentence == f"old reported {reported}, in which there are no sources: no datagram"


def test_behind_a_snooping_switch_a_receiver_is_ready_by_the_mdb(play: Open) -> None:
    host = "{virtual: {interfaces: {eth0: quiet}}}"
    text = f"links: {{quiet: {{snooping: true, mtu: 1400}}}}\nhosts: {{one: {host}, two: {host}}}\n"
    opened = play(text + one(mode="ssm"))
    evidence = opened().evidence
    assert evidence[0].startswith("3 datagrams delivered in order (ready by MDB entry 10.")
    assert evidence[-1] == "ssm.wrong-source not delivered, by control and fence"
    assert opened.stage.station("two").interface.mtu == 1400


def test_a_host_that_sends_to_itself_shows_by_plain_sockets_what_is_not_delivered(play: Open) -> None:
    evidence = play(TWO + one(sender="two", family="ipv6", mode="ssm"))().evidence
    assert [line.partition(":")[0] for line in evidence[1:]] == [
        "group.other not delivered, by control and fence",
        "ssm.wrong-source not delivered, by control and fence",
    ]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_with_loopback_off_a_host_does_not_get_its_own(play: Open, family: str) -> None:
    evidence = play(TWO + one(", loopback: [false]", sender="two", family=family))().evidence
    expected = "with loopback off, 3 datagrams not delivered, by control and fence: the switch got it from two"
    assert evidence[0] == expected


def test_what_goes_out_by_loopback_comes_back_whatever_the_option_says(play: Open) -> None:
    text = "hosts: {solo: {virtual: {interface: lo}}}\n"
    with pytest.raises(Excused, match="what goes out by lo comes in by it"):
        play(text + one(", loopback: [false]", sender="solo", receiver="solo"))()


@pytest.mark.parametrize("size", [1, 1472, 8192])
def test_payloads_are_of_the_size(play: Open, size: int) -> None:
    timeline = play(TWO + one(f", size: [{size}]"))().timeline
    assert {event.what.split(" bytes")[0] for event in timeline if event.what.startswith("received")} == {
        f"received {size}"
    }


def test_the_ttl_on_arrival_is_shown(play: Open) -> None:
    assert "TTL 7 on arrival" in play(TWO + one(", ttl: [7]"))().evidence


def test_groups_are_of_the_scope(play: Open) -> None:
    opened = play(TWO + one(", scope: [site-local]", family="ipv6", mode="ssm"))
    opened()
    (joined,) = [
        event.what for event in opened.story.timeline() if event.what.startswith("joined ")
    ]  # its report may come first
    assert joined.startswith("joined fd6d:63:")  # the address of unique-local scope
    assert "@[ff35::" in joined


# Steps.


@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_what_is_sent_before_and_between_memberships_is_not_delivered(play: Open, mode: str) -> None:
    sequence = steps(
        "[{send: {arrives: false}}, join, send, leave, {send: {arrives: false}}, join, {send: {count: 1}}]"
    )
    evidence = play(TWO + sequence + one(", steps: [them]", mode=mode))().evidence
    assert evidence[:4] == (
        "3 datagrams sent before it joined not delivered, by control and fence: the tap of two saw it come in on eth0",
        "3 datagrams delivered in order (ready by kernel membership)",
        "3 datagrams not delivered, by control and fence: the tap of two saw it come in on eth0",
        "1 datagrams delivered in order",
    )


@pytest.mark.parametrize(
    ("sequence", "lost"),
    [
        ("[join, send, leave, {send: {arrives: false}}]", 3),  # those of the step before are just like them
        ("[{send: {arrives: false}}, join, send]", 0),
        ("[join, {link: down}, {send: {arrives: false}}]", 2),  # the fence is none of them
    ],
)
def test_what_nobody_has_seen_is_no_verdict(
    play: Open, monkeypatch: pytest.MonkeyPatch, sequence: str, lost: int
) -> None:
    opened = play(TWO + steps(sequence) + one(", size: [8], steps: [them]"))
    before = Sender.send
    count = 0

    def lose(self: Sender, payload: bytes) -> object:
        nonlocal count
        count += 1
        return None if lost < count <= 3 * (lost // 3 + 1) else before(self, payload)

    monkeypatch.setattr(Sender, "send", lose)
    with pytest.raises(NoVerdict, match=r"the control has not seen [13] of 3\nfence: arrived"):
        opened()


def test_what_was_sent_before_it_joined_and_is_delivered_fails_also_when_all_payloads_are_alike(
    play: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    early: list[bytes] = []
    before = Sender.send

    class Replays(Faulty):
        def told(self, datagram: Datagram) -> Iterable[Datagram]:
            again = [replace(datagram, payload=payload) for payload in early]
            early.clear()
            return [*again, datagram]

    def send(self: Sender, payload: bytes) -> Sent:
        early.extend([payload] if payload == b"pytest-m" and not early else [])
        return before(self, payload)

    monkeypatch.setattr(Sender, "send", send)
    text = "subjects: {it: {receiver: replays}}\n" + steps("[{send: {arrives: false}}, join, send]")
    opened = play(TWO + text + one(", size: [8], steps: [them]", receiver="it@two"), BrokenCore("replays", Replays))
    with pytest.raises(Delivered, match=r"it must not be: 3 datagrams sent before it joined\ngot 1 of 3"):
        opened()


def test_each_datagram_of_a_program_must_have_been_seen(play: Open, tmp_path: Path) -> None:
    code = (
        "import socket, sys; group, port, name, payload = sys.argv[1:]; it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "it.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + socket.if_nametoindex(name).to_bytes(4, 'little'));"
        "it.sendto(payload.encode(), (group, int(port)))"
    )
    command = [sys.executable, "-c", code, "{group}", "{port}", "{interface}", "{payload}"]
    (tmp_path / "once.yaml").write_text(f"name: once\nkind: sender\ntitle: Sends one\ncommand: {json.dumps(command)}\n")
    sequence = steps("[join, {send: {count: 1}}, leave, {send: {count: 2, arrives: false}}]")
    opened = play(
        TWO + "subjects: {once: {sender: once.yaml}}\n" + sequence + one(", steps: [them]", sender="once@one")
    )
    with pytest.raises(NoVerdict, match="no verdict on 2 datagrams: the control has not seen 1 of 2"):
        opened()
    assert opened.story.evidence[0].startswith("1 datagrams delivered")


def test_on_this_machine_nothing_has_seen_what_was_sent_before_it_joined(play: Open) -> None:
    text = "hosts: {here: local}\n" + steps("[{send: {arrives: false}}, join, send]")
    evidence = play(text + one(", steps: [them]", sender="here", receiver="here"))().evidence
    assert evidence[0].startswith(
        "3 datagrams sent before it joined not delivered, by a fence (weaker: nothing has seen"
    )


@pytest.mark.parametrize(("count", "size"), [(300, 30), (3, 50000)])
def test_more_is_sent_than_a_receive_buffer_holds(play: Open, count: int, size: int) -> None:
    sequence = steps(f"[join, {{send: {{count: {count}}}}}]")
    evidence = play(TWO + sequence + one(f", size: [{size}], steps: [them]"))().evidence
    assert evidence[0].startswith(f"{count} datagrams delivered in order")


def test_a_blocked_source_is_not_heard_and_others_are(play: Open) -> None:
    text = "hosts: {one: virtual, two: virtual, three: virtual}\n"
    sequence = steps(
        "[join, {block: sender}, {send: {arrives: false}}, {send: {from: three}}, {unblock: sender}, send]"
    )
    evidence = play(text + sequence + one(", steps: [them]"))().evidence
    assert [line.partition(",")[0].partition(":")[0] for line in evidence[:3]] == [
        "3 datagrams not delivered",
        "3 datagrams from three delivered in order (ready by kernel membership)",
        "3 datagrams delivered in order",
    ]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_cable_is_pulled_and_plugged_in_again(play: Open, family: str) -> None:
    sequence = steps("[join, {link: down}, {send: {arrives: false}}, {link: up}, send]")
    opened = play(TWO + sequence + one(", steps: [them]", family=family))
    evidence = opened().evidence
    assert evidence[0] == "3 datagrams not delivered, by control and fence: the switch got it from one"
    assert evidence[1].startswith("ready by beacon ")
    assert evidence[2].startswith("3 datagrams delivered in order")
    assert opened().evidence[0] == evidence[0]  # the link is as it was


def test_a_link_that_a_cell_has_left_down_is_up_for_the_next(play: Open) -> None:
    opened = play(TWO + steps("[join, {link: down}, {send: {arrives: false}}]") + one(", steps: [them, deliver]"))
    opened("ipv4-asm[one->two,steps=them]")
    assert opened("ipv4-asm[one->two,steps=deliver]").evidence[0].startswith("3 datagrams delivered")


@pytest.mark.parametrize(("broken", "sequence"), [("never-leaves", "leave"), ("ignores-changes", "block: sender")])
def test_what_a_core_delivers_against_the_steps_fails_the_cell(play: Open, broken: str, sequence: str) -> None:
    text = f"subjects: {{it: {{receiver: {broken}}}}}\n"
    sequence = steps(f"[join, send, {{{sequence}}}, {{send: {{arrives: false}}}}]".replace("{leave}", "leave"))
    opened = play(TWO + text + sequence + one(", steps: [them]", receiver="it@two"), BROKEN[broken]())
    with pytest.raises(Delivered, match="delivered, which it must not be: 3 datagrams\ngot 3 of 3"):
        opened()


# Who takes part.


@pytest.mark.parametrize(
    ("broken", "mode", "said"),
    [
        ("ignores-group", "asm", "group"),
        ("ignores-source", "ssm", "ssm.wrong-source"),
    ],
)
def test_a_broken_core_is_found(play: Open, broken: str, mode: str, said: str) -> None:
    text = f"subjects: {{it: {{receiver: {broken}}}}}\n"
    opened = play(TWO + text + one(mode=mode, receiver="it@two"), BROKEN[broken]())
    with pytest.raises((AssertionError, Unready), match=said):
        opened()


def test_datagrams_in_another_order_are_found(play: Open) -> None:
    text = "subjects: {it: {receiver: wrong-order}}\n" + steps("[join, {send: {count: 5}}]")
    opened = play(TWO + text + one(", steps: [them]", receiver="it@two"), BROKEN["wrong-order"]())
    with pytest.raises(CoreFailure, match="datagram 3 of 5 was delivered otherwise than it was sent: payload b'"):
        opened()


def test_a_core_that_fails_its_self_check_is_not_believed(play: Open) -> None:
    text = "subjects: {it: {receiver: mislabels-source}}\n"
    opened = play(TWO + text + one(receiver="it@two"), BROKEN["mislabels-source"]())
    for _ in range(2):
        with pytest.raises(
            Unready, match=r"mislabels-source cannot be believed for ipv4 asm: .* its source is"
        ) as error:
            opened()
    assert error.value.mcast_outcome == "error"
    assert "ipv6" not in str(error.value)


def test_what_a_core_does_not_claim_is_unsupported(play: Open) -> None:
    text = "subjects: {it: {receiver: socat}}\n"
    with pytest.raises(Excused, match="socat is not for ipv4 ssm") as error:
        play(TWO + text + one(mode="ssm", receiver="it@two"))()
    assert error.value.mcast_outcome == "unsupported"


def test_a_program_that_is_not_there_is_a_missing_capability(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    text = "subjects: {it: {receiver: socat}}\n"
    with pytest.raises(MissingCapability, match="there is no program 'socat'"):
        play(TWO + text + one(receiver="it@two"))()


def test_another_version_than_the_file_wants_is_an_error(play: Open) -> None:
    text = 'subjects: {it: {receiver: builtin, version: ">=99"}}\n'
    with pytest.raises(Unready, match=r"builtin .* is what runs here, and the subject it is to be >=99"):
        play(TWO + text + one(receiver="it@two"))()


def test_steps_that_a_core_cannot_do_are_unsupported(play: Open) -> None:
    text = "subjects: {it: {receiver: builtin-asyncio}}\n" + steps("[join, send, leave, {send: {arrives: false}}]")
    opened = play(TWO + text + one(", steps: [them]", receiver="it@two"))
    core = opened.stage.world.subjects.receiver(
        opened.scenario.subjects["it"], "ipv4", "asm", opened.stage.station("two")
    )
    assert core is not None
    if core.capabilities.rejoins:
        assert opened().evidence
    else:
        with pytest.raises(Excused, match="cannot leave and join again"):
            opened()


def test_planned_hosts_and_those_of_another_system_are_excused(play: Open) -> None:
    other = "windows" if sys.platform != "win32" else "linux"
    text = f"hosts: {{one: {{local: {{system: {other}}}}}, phone: {{status: planned, reason: none yet}}}}\n"
    opened = play(text + "matrix: {sender: [one], family: [ipv4], mode: [asm]}\n")
    with pytest.raises(Excused, match="another run's business") as error:
        opened("ipv4-asm[one->one]")
    assert error.value.mcast_outcome == "not-run"
    with pytest.raises(Excused, match="none yet") as error:
        opened("ipv4-asm[one->phone]")
    assert error.value.mcast_outcome == "planned"


def test_capabilities_that_a_cell_requires_are_asked_for(play: Open) -> None:
    opened = play("requires: [ipv4-ssm]\n" + TWO + one())
    opened()
    assert opened.required == [("ipv4-ssm", "one", "two")]


def test_a_sysctl_that_is_not_there_is_an_error(play: Open) -> None:
    text = "hosts: {one: {virtual: {sysctl: {net.ipv4.conf.all.no_such_thing: 1}}}}\n"
    with pytest.raises(Unready, match=r"host one: cannot set net\.ipv4\.conf\.all\.no_such_thing to '1': No such file"):
        play(text + one(sender="one", receiver="one"))()


def test_virtual_and_local_hosts_are_on_different_networks(play: Open) -> None:
    text = "hosts: {one: virtual, here: local}\n"
    with pytest.raises(Unready, match="no network leads from one, which is virtual, to here, which is local"):
        play(text + one(receiver="here"))()


def test_the_hosts_of_steps_must_have_a_way_too(play: Open) -> None:
    text = "hosts: {here: local, one: virtual}\n" + steps("[join, send, {send: {from: one, arrives: false}}]")
    with pytest.raises(Unready, match="no network leads from one, which is virtual, to here, which is local"):
        play(text + one(", steps: [them]", sender="here", receiver="here"))()


def test_the_hosts_of_steps_are_told_before_they_are_used(play: Open) -> None:
    text = "hosts: {one: virtual, two: virtual, three: virtual}\n" + steps("[join, {send: {from: three}}]")
    opened = play(text + one(", steps: [them]"))
    told: list[str] = []
    run(opened.cell(), opened.stage, arrival=lambda host: told.append(host.name))
    assert sorted(told) == ["one", "three", "two"]


def test_a_core_that_does_not_tell_the_payload_is_unsupported(play: Open) -> None:
    class Silent(Faulty):
        fields = frozenset(FIELDS) - {"payload", "length"}

        def told(self, datagram: Datagram) -> Iterable[Datagram]:
            return [replace(datagram, payload=b"")]

    core = BrokenCore("silent", Silent, capabilities=replace(BuiltInCore.capabilities, fields=Silent.fields))
    with pytest.raises(Excused, match="it@two cannot be judged: silent does not tell the payload") as error:
        play(TWO + "subjects: {it: {receiver: silent}}\n" + one(receiver="it@two"), core)()
    assert error.value.mcast_outcome == "unsupported"


# Other machines.


def test_an_interface_that_this_machine_does_not_have_is_an_error(play: Open) -> None:
    text = "hosts: {here: {local: {interface: no-such0}}}\n"
    with pytest.raises(Unready, match=r"host here: .*no-such0"):
        play(text + one(sender="here", receiver="here"))()


@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_this_machine_is_judged_by_plain_sockets(play: Open, mode: str) -> None:
    opened = play("hosts: {here: local}\n" + one(sender="here", receiver="here", mode=mode))
    evidence = opened().evidence
    assert opened.needed == [("local", "local", "ipv4", mode)]
    assert evidence[0] == "3 datagrams delivered in order (ready by kernel membership)"
    assert evidence[1].startswith("group.other not delivered, by control and fence: a receiver beside it got it")


def test_two_interpreters_are_ready_by_a_beacon_and_their_evidence_is_weaker(play: Open) -> None:
    opened = play(f"hosts: {{one: {OTHER}, two: {OTHER}}}\n" + one(mode="ssm"))
    result = opened()
    assert result.evidence[0] == "ready by beacon 1, which was received"
    assert result.evidence[1].startswith("3 datagrams delivered in order")
    assert "(weaker: plain sockets)" in result.evidence[2]
    assert "ssm.wrong-source not delivered" in result.evidence[3]
    assert {event.kind for event in result.timeline if event.what.startswith(("sent", "received"))} == {"note"}
    assert result.reported.endswith("(kernel)")


@pytest.mark.parametrize(
    ("code", "raised", "said"),
    [
        (errno.ENETUNREACH, Unready, "host one cannot send .* from lo: Network is unreachable; look at its addresses"),
        (errno.EPERM, Unready, "host one cannot send .* from lo: Operation not permitted"),
        (errno.EMSGSIZE, CoreFailure, "the system refuses to send .* from lo: Message too long"),
    ],
)
def test_a_network_that_carries_nothing_is_no_failure_of_what_sends(
    play: Open, monkeypatch: pytest.MonkeyPatch, code: int, raised: type[Exception], said: str
) -> None:
    def refuse(*_: object) -> Sent:
        raise OSError(code, os.strerror(code))

    opened = play(f"hosts: {{one: {OTHER}}}\n" + one(sender="one", receiver="one"))
    monkeypatch.setattr(RemoteSender, "send", refuse)
    with pytest.raises(raised, match=said):
        opened()


def test_what_another_machine_sends_to_a_host_that_sends_to_itself_is_judged_as_weakly(play: Open) -> None:
    text = f"hosts: {{one: {OTHER}, two: {OTHER}}}\n"
    sequence = steps("[join, send, {send: {from: two}}, leave, {send: {from: two, arrives: false}}]")
    evidence = play(text + sequence + one(", steps: [them]", sender="one", receiver="one"))().evidence
    assert evidence[0].startswith("3 datagrams delivered in order")  # what it sends itself needs no beacon
    assert evidence[1] == "ready by beacon 1 of two, which was received"
    assert evidence[3] == (
        "3 datagrams from two not delivered, by control and a fence sent 3 times (weaker: plain sockets): "
        "a receiver beside it got it"
    )


def test_what_strangers_send_on_a_real_network_is_passed_over(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = play("hosts: {here: local}\n" + one(sender="here", receiver="here"))
    before = Sender.send

    def send(self: Sender, payload: bytes) -> Sent:
        before(self, b"what a stranger says")
        return before(self, payload)

    monkeypatch.setattr(Sender, "send", send)
    assert opened().evidence[0].startswith("3 datagrams delivered in order")


@pytest.mark.parametrize(
    ("mode", "sequence", "what"),
    [
        ("ssm", "[join, send, {send: {from: two, arrives: false}}]", "the source of 127"),
        ("asm", "[join, send, {block: sender}, {send: {from: two}}]", "which is blocked"),
    ],
)
def test_hosts_of_one_address_cannot_be_told_apart(play: Open, mode: str, sequence: str, what: str) -> None:
    text = f"hosts: {{one: {OTHER}, two: {OTHER}}}\n" + steps(sequence)
    with pytest.raises(Unready, match=rf"two sends from 127\.0\.0\.1, {what}"):
        play(text + one(", steps: [them]", sender="one", receiver="one", mode=mode))()


def test_a_host_that_is_not_there_is_an_error_of_the_host_each_time(play: Open) -> None:
    text = 'hosts: {one: {remote: "popen//python=/no/such/python"}}\n'
    opened = play(text + one(sender="one", receiver="one"))
    for _ in range(2):
        with pytest.raises(HostError, match=r"host one: .*no/such/python"):
            opened()


def test_the_version_of_a_program_is_that_of_the_host_it_runs_on(play: Open, tmp_path: Path) -> None:
    version = "version: {command: [sh, -c, 'echo in $PPID'], pattern: 'in (?P<version>[0-9]+)'}"
    (tmp_path / "it.yaml").write_text(f"name: it\nkind: sender\ncommand: [sh, -c, exit]\n{version}\n")
    hosts = f'{{here: local, there: {{remote: "popen//python={sys.executable}", interface: lo}}}}'
    text = f"hosts: {hosts}\nsubjects: {{it: {{sender: it.yaml}}}}\n"
    stage = play(text + one(sender="it@here, it@there", receiver="there")).stage
    assert stage.facts_of_subject("it", "here") == {"sender": "it"}
    for name in ("here", "there"):
        stage.world.subjects.sender(stage.scenario.subjects["it"], "ipv4", "asm", stage.station(name))
    assert stage.facts_of_subject("it", "here") == {"sender": "it", "version": str(os.getpid())}
    there = stage.station("there").host
    assert isinstance(there, RemoteHost)
    told = stage.facts_of_subject("it", "there")
    assert told == {"sender": "it", "sender version on there": there.facts()["pid"]}


# What is said.


def test_a_lost_datagram_is_told_in_a_sentence_with_what_happened_and_what_moved(
    play: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = play(TWO + one(), timeout=0.1)
    before = Sender.send
    count = 0

    def lose(self: Sender, payload: bytes) -> object:
        nonlocal count
        count += 1
        return None if count == 3 else before(self, payload)

    monkeypatch.setattr(Sender, "send", lose)
    with pytest.raises(NotReceived) as error:
        opened()
    lines = opened.failure(error.value).splitlines()
    assert lines[0].startswith("only 2 of 3 datagrams for 239.255.")
    assert lines[0].endswith(" on eth0 of two within 0.1 s")
    text = "\n".join(lines)
    assert "cell: ipv4-asm[one->two], test.mcast.yaml line 2" in text
    assert text.count(" one sent ") == text.count(" two received ") == 2
    assert "two IGMPv3 from 10." in text
    assert "joined on two, as its kernel has it: 239.255." in text
    assert re.search(r"counters of two: .*Udp\.InDatagrams \+2,", text)
    assert lines[-1] == "to repeat it: pytest"


def test_a_lost_fence_is_no_verdict(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_mcast.scenarios import checks

    opened = play(TWO + one(sender="two"), timeout=0.1)
    monkeypatch.setattr(checks.Fence, "read", lambda *_: ([], False))
    with pytest.raises(NoVerdict, match=r"the fence did not arrive within 0\.1 s"):
        opened()


def test_output_of_a_program_is_in_the_failure(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "subjects: {it: {receiver: socat}}\n"
    opened = play(TWO + text + one(receiver="it@two"), timeout=1.0)
    opened()
    monkeypatch.setattr(Sender, "send", lambda *_: None)
    with pytest.raises(NotReceived) as error:
        opened()
    assert "command: /" in opened.failure(error.value)


def test_the_output_of_a_program_is_kept(play: Open) -> None:
    text = "subjects: {it: {receiver: socat}}\n"
    assert any("starting data transfer loop" in line for line in play(TWO + text + one(receiver="it@two"))().log)


def test_of_many_events_those_in_the_middle_are_left_out(play: Open) -> None:
    opened = play(TWO + steps("[join, {send: {count: 150}}]") + one(", steps: [them]"))
    timeline = opened().timeline
    assert len(timeline) <= 201
    assert any("events are left out" in event.what for event in timeline)


def test_hosts_of_a_file_are_gone_with_it(play: Open, lab: Lab) -> None:
    opened = play(TWO + one())
    opened()
    host = opened.stage.station("two").host
    opened.close()
    assert lab.host("two") is not host
    lab.remove(lab.host("two"))


def test_facts_of_a_host_are_what_another_run_finds_again(play: Open) -> None:
    far = f'{{remote: "popen//python={sys.executable}", interface: lo}}'
    opened = play(f"hosts: {{one: virtual, here: {{local: {{interface: lo}}}}, far: {far}}}\n" + one(receiver="one"))
    for name in ("one", "here", "far"):
        opened.stage.station(name)
    facts = {name: set(opened.stage.facts(name)) for name in ("one", "here", "far")}
    machine = {"system", "release", "machine", "python"}
    assert facts["one"] == {"kind", "interface"}  # the machine is the run's
    assert facts["here"] == {"kind", "interface", *machine}
    assert facts["far"] == {"kind", "interface", "remote", *machine}


def test_a_connection_that_is_cut_in_mid_cell_is_an_error_and_made_again_for_the_next(
    play: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = play(f"hosts: {{one: {OTHER}}}\n" + one(sender="one", receiver="one"))
    before = RemoteSender.send
    killed: list[int] = []

    def kill(self: RemoteSender, payload: bytes) -> Sent:
        if not killed:
            host = opened.stage.station("one").host
            assert isinstance(host, RemoteHost)
            killed.append(int(host.facts()["pid"]))
            os.kill(killed[0], signal.SIGKILL)
        return before(self, payload)

    monkeypatch.setattr(RemoteSender, "send", kill)
    with pytest.raises(HostError, match="host one: ") as error:
        opened()
    assert error.value.mcast_outcome == "error"
    assert opened().evidence
