"""Receive cores that are programs: what they report is read, and how they misbehave is said."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pytest_mcast import Channel, Interface, LabView, MissingCapability, NotReceived, SubscriptionError
from pytest_mcast.cores import CoreFailure, ExternalCore, self_check
from pytest_mcast.cores.external import ExternalReceiver
from pytest_mcast.hosts import LocalHost

from .support import RECEIVE, core

LINGER = "signal.pause()\n"
READY = 'say("ready")\n'


def opened(lab: LabView, one: ExternalCore, timeout: float = 5.0) -> ExternalReceiver:
    return one.open(lab.channel(), lab.host("rx"), timeout=timeout)


def failing(lab: LabView, one: ExternalCore, timeout: float = 10.0) -> CoreFailure:
    """Return how it fails to become ready; it is gone then."""
    receiver = opened(lab, one)
    with pytest.raises(CoreFailure) as info:
        receiver.ready(timeout)
    receiver.close()  # which has nothing to add
    assert not alive(receiver)
    return info.value


def alive(receiver: ExternalReceiver) -> bool:
    return os.path.exists(f"/proc/{receiver.pid}")


def awaiting(name: str) -> str:
    """Return the beginning of a program that is ready, and goes on at a signal: also at one that comes before it waits."""
    return f"signal.pthread_sigmask(signal.SIG_BLOCK, [signal.{name}])\n{READY}signal.sigwait([signal.{name}])\n"


# What it should be.


@pytest.mark.mcast
def test_a_program_that_says_when_it_is_ready(mcast_kind: tuple[str, str], mcast_lab: LabView, tmp_path: Path) -> None:
    evidence = self_check(core(tmp_path), mcast_lab, *mcast_kind)
    assert evidence == ["ready: it said '^ready$'", "a datagram that was sent was reported, and none that was not"]


@pytest.mark.mcast
def test_a_program_that_never_says_so_is_ready_when_its_host_is_a_member(
    mcast_kind: tuple[str, str], mcast_lab: LabView, tmp_path: Path
) -> None:
    silent = core(tmp_path, RECEIVE.replace('say("ready")', ""), ready=None)
    (ready, _) = self_check(silent, mcast_lab, *mcast_kind)
    assert ready.startswith("ready: its host reported ")


def test_it_is_ended_by_the_signal_that_is_described(mcast_lab: LabView, tmp_path: Path) -> None:
    program = awaiting("SIGINT") + 'say("good-bye")'
    with opened(mcast_lab, core(tmp_path, program, stop="SIGINT")) as receiver:
        pass
    assert receiver._program.stdout == ["ready", "good-bye"]
    assert not alive(receiver)


@pytest.mark.parametrize("code", [0, 128 + signal.SIGTERM])
def test_an_exit_code_that_means_that_it_was_asked_to_end_is_none_of_a_failure(
    mcast_lab: LabView, tmp_path: Path, code: int
) -> None:
    program = awaiting("SIGTERM") + f"sys.exit({code})"
    with opened(mcast_lab, core(tmp_path, program)) as receiver:
        pass
    assert receiver._program.returncode == code


def test_the_command_has_what_its_conditions_ask_for(mcast_lab: LabView, tmp_path: Path) -> None:
    one = core(
        tmp_path,
        command=[
            "sh",
            {"when": "ipv4", "words": ["four={address}", {"when": "ssm", "words": ["from={source}"]}]},
            {"when": "ipv6", "words": ["six={interface}", "{{}}"]},
            {"when": "asm", "words": ["any"]},
            "{index}",
        ],
        environment={"WHERE": "{group}:{port}", "BESIDE": "{bin}"},
    )
    rx, tx = mcast_lab.hosts(2)
    four, six = mcast_lab.channel(source=tx), mcast_lab.channel("ipv6")
    words, environment = one.command(four, rx.interface)
    index = str(rx.interface.index)
    assert words[1:] == [f"four={rx.interface.ipv4[0]}", f"from={tx.interface.ipv4[0]}", index]
    assert environment["WHERE"] == f"{four.group}:{four.port}"
    assert environment["BESIDE"] == str(Path(words[0]).resolve().parent)
    assert environment["PATH"] == os.environ["PATH"]
    assert one.command(six, rx.interface)[0][1:] == ["six=eth0", "{}", "any", index]


def test_the_environment_reaches_the_program(mcast_lab: LabView, tmp_path: Path) -> None:
    program = 'say(os.environ["READINESS"])\n' + LINGER
    with opened(mcast_lab, core(tmp_path, program, environment={"READINESS": "ready"})):
        pass


def test_a_program_is_run_by_the_name_that_it_was_found_by(mcast_lab: LabView, tmp_path: Path) -> None:
    (tmp_path / "real").write_text('#!/bin/sh\necho "$0"\nexec sleep 60\n')
    (tmp_path / "real").chmod(0o755)
    (tmp_path / "alias").symlink_to("real")  # as busybox has it, and virtual environments of Python
    with opened(mcast_lab, core(tmp_path, command=["{directory}/alias"], ready="/alias$")) as receiver:
        pass
    assert receiver._program.stdout == [str(tmp_path / "alias")]


def test_datagrams_have_what_the_records_tell_and_nothing_else(mcast_lab: LabView, tmp_path: Path) -> None:
    program = """
        receiver = listen()
        say("ready")
        for datagram in iter(receiver.recv, None):
            say("packet of", len(datagram.payload), "on", receiver.interface.name, to=sys.stderr)
            say("  from", *datagram.source, to=sys.stderr)
            say("something else", to=sys.stderr)
            say("  saying", datagram.payload[:10].decode(), to=sys.stderr)
    """
    lines = [
        r"^packet of (?P<length>\d+) on (?P<interface>\w+)$",
        r"^  from (?P<source>\S+) (?P<source_port>\d+)$",
        r"^  saying (?P<payload>.*)$",
    ]
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    one = core(tmp_path, program, datagram=lines, payload_limit=10)
    assert one.capabilities.fields == {"length", "interface", "source", "source_port", "payload"}
    sender = tx.sender(channel)
    with one.open(channel, rx) as receiver:
        sender.send(b"much too long")
        sender.send(b"short")
        long, short = receiver.recv(), receiver.recv()
    assert (long.payload, long.truncated, long.length) == (b"much too l", True, 13)
    assert (short.payload, short.truncated, short.length) == (b"short", False, 5)
    assert (short.source, short.interface_index, short.port) == (sender.source, rx.interface.index, channel.port)
    assert (short.destination, short.ttl, short.timestamp_ns) == (None, None, None)


def test_the_self_check_takes_a_payload_that_is_cut(mcast_lab: LabView, tmp_path: Path) -> None:
    program = RECEIVE.replace("tell(receiver.recv())", 'say("got", receiver.recv().payload[:5].decode())')
    cut = core(tmp_path, program, datagram=["^got (?P<payload>.*)$"], payload_limit=5)
    self_check(cut, mcast_lab, "ipv4", "asm")


# Programs that end.


def test_one_that_dies_at_once(mcast_lab: LabView, tmp_path: Path) -> None:
    failure = failing(mcast_lab, core(tmp_path, 'sys.exit("out of luck")'))
    assert failure.kind == "died"
    first, command, *output = str(failure).splitlines()
    assert first == "small: it ended before it was ready, with exit code 1"
    assert command.startswith("command: ")
    assert output == ["stderr:", "  out of luck", "stdout: nothing"]


def test_one_that_says_why_before_it_dies(mcast_lab: LabView, tmp_path: Path) -> None:
    program = 'say("trying")\nsay("small: E: no such group", to=sys.stderr)\nsys.exit(2)'
    failure = failing(mcast_lab, core(tmp_path, program, error="^small: E: (?P<error>.*)$"))
    assert failure.kind == "refused"
    first = "small: no such group (it ended before it was ready, with exit code 2)"
    assert str(failure).splitlines()[0] == first


def test_one_that_dies_before_it_is_a_member_is_told_at_once(mcast_lab: LabView, tmp_path: Path) -> None:
    # At once: the test would be ended before this time-out is over.
    failure = failing(mcast_lab, core(tmp_path, 'sys.exit("no luck")', ready=None), timeout=600)
    assert failure.kind == "died"
    assert str(failure).startswith("small: it ended before its host was a member, with exit code 1\n")
    assert "\n  no luck\n" in str(failure)


def test_one_that_has_died_can_be_asked_again(mcast_lab: LabView, tmp_path: Path) -> None:
    receiver = opened(mcast_lab, core(tmp_path, "sys.exit(1)", ready=None))
    for _ in range(2):
        with pytest.raises(CoreFailure, match="it ended before its host was a member, with exit code 1"):
            receiver.ready(600)


@pytest.mark.parametrize(
    ("end", "how"),
    [('sys.exit("lost heart")', "exit code 1"), ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")],
)
def test_one_that_dies_while_it_receives(mcast_lab: LabView, tmp_path: Path, end: str, how: str) -> None:
    program = RECEIVE.replace("while True:\n    tell(receiver.recv())", f"tell(receiver.recv())\n{end}")
    rx, tx = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    with core(tmp_path, program).open(channel, rx, timeout=600) as receiver:
        tx.sender(channel).send(b"one")
        assert receiver.recv().payload == b"one"  # what it had said before counts
        with pytest.raises(CoreFailure) as info:
            receiver.recv()
    assert info.value.kind == "died"
    assert str(info.value).startswith(f"small: it has ended, with {how}\n")
    assert ("lost heart" in str(info.value)) == ("heart" in end)


def test_one_that_dies_while_a_child_holds_its_output_open(mcast_lab: LabView, tmp_path: Path) -> None:
    receiver = opened(mcast_lab, core(tmp_path, READY + "if os.fork():\n    os._exit(3)\n" + LINGER))
    receiver.ready()
    receiver._program.wait()
    with pytest.raises(CoreFailure, match="it has ended, with exit code 3"):
        receiver.recv(0.01)
    receiver.close()


def test_one_that_ends_by_itself(mcast_lab: LabView, tmp_path: Path) -> None:
    receiver = opened(mcast_lab, core(tmp_path, READY))
    receiver.ready()
    receiver._program.wait()
    with pytest.raises(CoreFailure, match=r"^small: it had ended by itself, with exit code 0\n") as info:
        receiver.close()
    assert info.value.kind == "died"
    receiver.close()


def test_one_that_fails_when_it_is_asked_to_end(mcast_lab: LabView, tmp_path: Path) -> None:
    program = awaiting("SIGTERM") + 'sys.exit("cannot leave")'
    receiver = opened(mcast_lab, core(tmp_path, program))
    receiver.ready()
    with pytest.raises(CoreFailure, match=r"^small: it ended with exit code 1 after SIGTERM\n(?s:.*)cannot leave"):
        receiver.close()


def test_one_that_will_not_end_is_killed(mcast_lab: LabView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mcast.cores.external._STOPPING", 0.1)
    program = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{READY}while True: {LINGER}"
    receiver = opened(mcast_lab, core(tmp_path, program))
    receiver.ready()
    with pytest.raises(CoreFailure, match=r"^small: it went on for 0\.1 s after SIGTERM, and was killed\n") as info:
        receiver.close()
    assert info.value.kind == "killed"
    assert not alive(receiver)


def test_an_error_of_the_test_is_not_hidden_by_one_of_the_program(mcast_lab: LabView, tmp_path: Path) -> None:
    receiver = opened(mcast_lab, core(tmp_path, READY))
    receiver.ready()
    receiver._program.wait()
    with pytest.raises(ZeroDivisionError), receiver:
        _ = 1 / 0
    assert not alive(receiver)


# Programs that do not become ready.


def test_one_that_never_says_that_it_is_ready(mcast_lab: LabView, tmp_path: Path) -> None:
    failure = failing(mcast_lab, core(tmp_path, 'say("almost ready")\n' + LINGER), timeout=0.2)
    assert failure.kind == "not ready"
    assert str(failure).startswith("small: it did not say '^ready$' within 0.2 s\n")


def test_one_that_says_why_it_is_not_ready(mcast_lab: LabView, tmp_path: Path) -> None:
    receiver = opened(mcast_lab, core(tmp_path, 'say("E port in use")\n' + LINGER, error="^E (?P<error>.*)"))
    receiver._program.expect("in use")
    with pytest.raises(CoreFailure, match=r"^small: port in use \(it did not say '\^ready\$' within 0\.01 s\)") as info:
        receiver.ready(0.01)
    assert info.value.kind == "refused"


def test_one_that_never_becomes_a_member(mcast_lab: LabView, tmp_path: Path) -> None:
    failure = failing(mcast_lab, core(tmp_path, LINGER, ready=None), timeout=0.2)
    assert failure.kind == "not ready"
    assert str(failure).startswith("small: its host reported no membership within 0.2 s\n")


def test_a_receiver_that_does_not_become_ready_is_closed_by_with(
    mcast_lab: LabView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = opened(mcast_lab, core(tmp_path, LINGER))
    monkeypatch.setattr(receiver, "ready", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError), receiver:
        pass
    assert not alive(receiver)


# What they print.

FLOOD = "while True: sys.stdout.write({!r} * {})\n"
LONG, SHORT = FLOOD.format("x" * 9999 + "\n", 10), FLOOD.format("noise\n", 10_000)


@pytest.mark.parametrize("flood", [LONG, SHORT], ids=["of bytes", "of lines"])
def test_a_flood_before_it_is_ready(mcast_lab: LabView, tmp_path: Path, flood: str) -> None:
    failure = failing(mcast_lab, core(tmp_path, flood), timeout=100)
    assert failure.kind == "flooded"
    assert str(failure).startswith("small: it printed more than anybody can want before it was ready\n")
    assert len(str(failure)) < 5000


@pytest.mark.parametrize("flood", [LONG, SHORT], ids=["of bytes", "of lines"])
def test_a_flood_while_it_receives(mcast_lab: LabView, tmp_path: Path, flood: str) -> None:
    receiver = opened(mcast_lab, core(tmp_path, READY + flood), timeout=100)
    with receiver, pytest.raises(CoreFailure, match="it has printed more than anybody can want: ") as info:
        receiver.recv()
    assert info.value.kind == "flooded"
    assert not alive(receiver)
    kept = receiver._program.stdout
    assert len(kept) < 200_000
    assert sum(map(len, kept)) < 70 << 20


def test_records_before_a_flood_count(mcast_lab: LabView, tmp_path: Path) -> None:
    program = READY + 'say("got 10.0.0.1 5 00")\n' + SHORT
    with opened(mcast_lab, core(tmp_path, program), timeout=100) as receiver:
        assert receiver.recv().payload == b"\0"
        with pytest.raises(CoreFailure, match="more than anybody can want"):
            receiver.recv()


def test_a_record_that_is_none(mcast_lab: LabView, tmp_path: Path) -> None:
    receiver = opened(mcast_lab, core(tmp_path, READY + 'say("got 10.0.0.999 5 00")\n' + LINGER), timeout=100)
    with receiver, pytest.raises(CoreFailure) as info:
        receiver.recv()
    assert info.value.kind == "rubbish"
    text = "small: it printed a record that is none ('10.0.0.999' does not appear to be an IPv4 or IPv6 address): "
    assert str(info.value).startswith(text + "'got 10.0.0.999 5 00'\ncommand: ")


def test_records_that_lack_a_line(mcast_lab: LabView, tmp_path: Path) -> None:
    program = READY + 'say("from 10.0.0.1")\nsay("from 10.0.0.2")\n' + LINGER
    lines = ["^from (?P<source>.*)$", "^saying (?P<payload>.*)$"]
    receiver = opened(mcast_lab, core(tmp_path, program, datagram=lines), timeout=100)
    with receiver, pytest.raises(CoreFailure, match="line 2 of the record before is missing") as info:
        receiver.recv()
    assert info.value.kind == "rubbish"


def test_what_is_not_utf_8_is_read_all_the_same(mcast_lab: LabView, tmp_path: Path) -> None:
    program = READY + r'os.write(1, b"noise \xff\xfe\nsaying \xffx\n")' + "\n" + LINGER
    with opened(mcast_lab, core(tmp_path, program, datagram=["^saying (?P<payload>.*)$"])) as receiver:
        assert receiver.recv().payload == "\N{REPLACEMENT CHARACTER}x".encode()


def test_silence_is_no_failure_of_the_program(mcast_lab: LabView, tmp_path: Path) -> None:
    with opened(mcast_lab, core(tmp_path)) as receiver:
        with pytest.raises(NotReceived, match=r"^small: no datagram for 239\..* on eth0 within 0\.01 s\ncommand: "):
            receiver.recv(0.01)
        receiver.ready()
    with pytest.raises(SubscriptionError, match=r"^the receiver of 239\..* is closed$"):
        receiver.recv()


# Programs that are not to be believed.


def refused(lab: LabView, one: ExternalCore, timeout: float = 5.0) -> str:
    with pytest.raises(CoreFailure) as info:
        self_check(one, lab, "ipv4", "asm", timeout=timeout)
    assert info.value.kind == "wrong"
    return str(info.value)


def test_one_that_makes_a_datagram_up(mcast_lab: LabView, tmp_path: Path) -> None:
    made_up = RECEIVE.replace('say("ready")', 'say("got 10.0.0.1 5 00")\nsay("ready")')
    text = refused(mcast_lab, core(tmp_path, made_up))
    assert text.startswith("small reported a datagram that was not sent: its payload is b'\\x00', not b'")


def test_one_that_makes_a_datagram_up_later(mcast_lab: LabView, tmp_path: Path) -> None:
    twice = RECEIVE.replace("tell(receiver.recv())", "datagram = receiver.recv(); tell(datagram); tell(datagram)")
    assert "small reported a datagram that was not sent: its payload is b'" in refused(mcast_lab, core(tmp_path, twice))


def test_one_that_is_deaf(mcast_lab: LabView, tmp_path: Path) -> None:
    text = refused(mcast_lab, core(tmp_path, READY + LINGER), timeout=0.2)
    first, second, *rest = text.splitlines()
    assert first.startswith("small did not report a datagram that was sent to 239.")
    assert second.startswith("small: no datagram for 239.")
    assert rest[1:] == ["stderr: nothing", "stdout:", "  ready"]


def test_one_whose_lines_are_in_another_order(mcast_lab: LabView, tmp_path: Path) -> None:
    program = """
        receiver = listen()
        say("ready")
        for datagram in iter(receiver.recv, None):
            say("saying", datagram.payload.decode())
            say("from", datagram.source[0])
    """
    lines = ["^from (?P<source>.*)$", "^saying (?P<payload>.*)$"]
    text = refused(mcast_lab, core(tmp_path, program, datagram=lines), timeout=0.5)
    assert text.startswith("small did not report a datagram that was sent")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("source", '"192.0.2.1", datagram.source[1]'),
        ("source_port", "datagram.source[0], 7"),
    ],
)
def test_one_that_mislabels(mcast_lab: LabView, tmp_path: Path, field: str, words: str) -> None:
    program = f"""
receiver = listen()
say("ready")
for datagram in iter(receiver.recv, None):
    say("got", {words}, datagram.payload.hex())
"""
    assert f"small reported a datagram that was not sent: its {field} is " in refused(
        mcast_lab, core(tmp_path, program)
    )


# What is not there.


def test_a_program_that_is_missing_is_named_with_its_cure(mcast_lab: LabView, tmp_path: Path) -> None:
    one = core(tmp_path, command=["no-such-program-4711"], install="cargo install no-such-crate")
    for action in (lambda: one.path, lambda: one.version, lambda: opened(mcast_lab, one)):
        with pytest.raises(MissingCapability) as info:
            action()
        assert info.value.capability == "programs"
        assert info.value.reason == "there is no program 'no-such-program-4711' for small on PATH"
        assert info.value.remedy == "cargo install no-such-crate"
    bare = core(tmp_path, command=["no-such-program-4711"])
    with pytest.raises(MissingCapability, match=r"; install no-such-program-4711, and have it on PATH$"):
        _ = bare.path


def test_one_that_cannot_be_started_says_why(mcast_lab: LabView, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    failure = failing(mcast_lab, core(tmp_path, command=["{directory}/broken"]))
    assert "it ended before it was ready, with exit code 127" in str(failure)
    assert "No such file or directory" in str(failure)


def test_a_host_that_is_not_virtual(tmp_path: Path) -> None:
    host = LocalHost(Interface.find("lo"))
    with pytest.raises(
        MissingCapability, match=r"small is a program, which runs in a virtual or remote host, and .* is neither"
    ) as info:
        core(tmp_path).open(Channel("239.255.1.2", 5000), host)
    assert info.value.capability == "namespaces"


def test_a_channel_of_another_kind_is_not_claimed(mcast_lab: LabView, tmp_path: Path) -> None:
    one = core(tmp_path, families=["ipv6"], modes=["asm"])
    with pytest.raises(CoreFailure, match=r"^small is for ipv6, asm, and 239\..* is ipv4 asm$") as info:
        opened(mcast_lab, one)
    assert info.value.kind == "unsupported"


# Its version.


def test_the_version_is_found_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("small = 1.2.3\n")
    version = {"file": "{directory}/versions", "pattern": "^small = (?P<version>.*)"}
    assert core(tmp_path, version=version).version == "1.2.3"


def test_the_version_is_found_in_the_output_of_a_command(tmp_path: Path) -> None:
    version = {"command": ["sh", "-c", "echo small v4.5 >&2; exit 1"], "pattern": r"small v(?P<version>\S+)"}
    assert core(tmp_path, version=version).version == "4.5"
    assert core(tmp_path).version == "unknown"


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ({"file": "{directory}/none"}, r"the version of small cannot be read from .*/none: .*No such file"),
        ({"command": ["{bin}/no-such-4711"]}, r"the version of small cannot be read from .*no-such-4711: .*No such"),
        ({"command": ["echo", "x"]}, r"the version of small is not in echo x: nothing there fits 'v\(\?P<version>"),
    ],
)
def test_a_version_that_is_not_where_it_should_be(tmp_path: Path, version: dict[str, object], text: str) -> None:
    one = core(tmp_path, version={**version, "pattern": r"v(?P<version>\d+)"})
    with pytest.raises(CoreFailure, match=text) as info:
        _ = one.version
    assert info.value.kind == "rubbish"
