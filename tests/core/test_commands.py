"""The commands recv, send and echo: lines, exit codes, signals; each a process of its own, on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
import unittest
from pathlib import Path
from typing import Any, Sequence

import pytest_mcast
from pytest_mcast.core import Channel, Datagram, NotReceived
from pytest_mcast.core.lines import Lines

from . import support

WITHIN_S = 30.0
BINARY = (b"", b"hello", b"\n\r\0\x1b[31m \\", bytes(range(256)), "\N{SNOWMAN}".encode())
MODULE = [sys.executable, "-W", "error", "-m", "pytest_mcast.core"]
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Command:
    """One of the commands, running; its output is read line by line."""

    def __init__(self, arguments: Sequence[object], prefix: Sequence[str] = MODULE) -> None:
        # None of what Python is told otherwise: PYTHONUNBUFFERED would hide what is not flushed.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.process = subprocess.Popen(
            [*prefix, *map(str, arguments)],
            env={**environment, "PYTHONPATH": str(Path(pytest_mcast.__file__).parents[1])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: list[str] = []
        self._rest = b""

    def line(self) -> str:
        """Return the next line of standard output; fails when there is none in time."""
        assert self.process.stdout is not None
        end = time.monotonic() + WITHIN_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                ready = selector.select(max(0.0, end - time.monotonic()))
                data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
                if not data:
                    self.process.kill()
                    _, errors = self.process.communicate()
                    raise AssertionError(f"no line after {self.lines}, {self._rest!r}: {errors.decode()}")
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        self.lines.append(line.decode("ascii"))
        return self.lines[-1]

    def event(self) -> tuple[str, dict[str, str]]:
        """Return the next line of text as its event, with keys and values."""
        return parsed(self.line())

    def json(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.line())
        return event

    def end(self) -> tuple[int, list[str], str]:
        """Wait for the end; return the exit code, the lines not read yet, and what was said on standard error."""
        try:
            output, errors = self.process.communicate(timeout=WITHIN_S)
        finally:
            self.close()
        return self.process.returncode, (self._rest + output).decode("ascii").splitlines(), errors.decode()

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def parsed(line: str) -> tuple[str, dict[str, str]]:
    event, *pairs = line.split(" ")
    return event, dict(pair.split("=", 1) for pair in pairs)


class CommandTestCase(support.LoopbackTestCase):
    def command(self, name: str, channel: Channel, *options: object) -> Command:
        """Start one for a channel on loopback."""
        source = [] if channel.source is None else ["--source", channel.source]
        return self.started(name, channel.group, channel.port, "--interface", "lo", *source, *options)

    def ready(self, name: str, channel: Channel, *options: object) -> Command:
        """Start one as text, and read the line that says it is ready."""
        command = self.command(name, channel, *options)
        self.assertEqual(command.event()[0], "ready")
        return command

    def started(self, *arguments: object) -> Command:
        return self.opened(Command(arguments))

    def ended(self, command: Command, code: int = 0, errors: str = "") -> list[str]:
        """Expect that it ends by itself, in this way; return the lines that were not read yet."""
        found, lines, said = command.end()
        self.assertEqual((found, said), (code, errors), command.lines + lines)
        return lines


class Receiving(CommandTestCase):
    @support.each_kind
    def test_each_datagram_is_a_line(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        command = self.ready("recv", channel, "--count", 2)
        sender = self.sender(channel)
        for payload in (b"one", b"two"):
            sender.send(payload)
            line = (
                rf"datagram source={sender.source[0]} source_port={sender.source[1]} group={channel.group} "
                rf"port={channel.port} interface={self.lo.index} ttl=1 traffic_class=0 timestamp_ns=\d+ truncated=no "
                rf"length=3 payload={payload.hex()}"
            )
            self.assertRegex(command.line(), f"^{line}$")
        (summary,) = self.ended(command)
        self.assertRegex(summary, r"^summary ended=count received=2 rejected=- kernel_drops=0 seconds=\d+\.\d{6}$")

    @support.each_kind
    def test_each_datagram_is_an_object(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        control = self.control(channel)
        command = self.command("recv", channel, "--count", 1, "--json")
        self.assertEqual(
            command.json(),
            {
                "event": "ready",
                "channel": str(channel),
                "group": channel.group,
                "port": channel.port,
                "source": channel.source,
                "interface": self.lo.index,
                "interface_name": "lo",
                "receive_buffer": control.receive_buffer,
            },
        )
        self.sender(channel, ttl=7, dscp=46).send(b"x")
        datagram = control.recv()
        found = command.json()
        self.assertLess(abs(found.pop("timestamp_ns") - (datagram.timestamp_ns or 0)), 60 * 10**9)
        self.assertEqual(found, {"event": "datagram", **as_json(datagram)})
        summary = json.loads(self.ended(command)[0])
        self.assertGreaterEqual(summary.pop("seconds"), 0)
        self.assertEqual(
            summary, {"event": "summary", "ended": "count", "received": 1, "rejected": {}, "kernel_drops": 0}
        )

    def test_any_payload_is_kept(self) -> None:
        for as_json in (False, True):
            with self.subTest(as_json=as_json):
                channel = self.channel()
                options = ("--json",) if as_json else ()
                command = self.command("recv", channel, "--count", len(BINARY), *options)
                command.line()
                sender = self.sender(channel)
                for payload in BINARY:
                    sender.send(payload)
                    found = command.json()["payload"] if as_json else command.event()[1]["payload"]
                    self.assertEqual(bytes.fromhex(found), payload)
                self.ended(command)

    def test_the_largest_datagram_is_kept(self) -> None:
        channel = self.channel()
        command = self.ready("recv", channel, "--count", 1)
        self.sender(channel).send(bytes(65507))
        self.assertEqual(command.event()[1]["length"], "65507")
        self.ended(command)

    @support.each_kind
    def test_with_port_0_the_system_picks_one(self, family: str, mode: str) -> None:
        channel = dataclasses.replace(self.channel(family, mode), port=0)
        command = self.command("recv", channel, "--count", 1)
        ready = command.event()[1]
        bound = dataclasses.replace(channel, port=int(ready["port"]))
        self.assertEqual(ready["channel"], str(bound))
        self.sender(bound).send(b"x")
        self.assertEqual(command.event()[1]["payload"], "78")
        self.ended(command)

    def test_another_source_is_not_printed(self) -> None:
        channel = self.channel(source=support.SOURCES["ipv4"], mode="ssm")
        command = self.ready("recv", channel, "--count", 1)
        control = self.control(channel)
        self.sender(channel, source=support.OTHER_SOURCES["ipv4"]).send(b"spoof")
        self.sender(channel).send(b"fence")
        self.assertEqual(support.payloads(control, 2), [b"spoof", b"fence"])
        self.assertEqual(command.event()[1]["payload"], b"fence".hex())
        self.ended(command)

    def test_the_deadline_ends_it(self) -> None:
        command = self.ready("recv", self.channel(), "--timeout", 0.01)
        self.assertEqual(parsed(self.ended(command)[0])[1]["ended"], "timeout")

    def test_the_deadline_before_the_count_is_an_exit_code(self) -> None:
        channel = self.channel()
        command = self.ready("recv", channel, "--timeout", 0.01, "--count", 1)
        self.assertIn("ended=timeout received=0", self.ended(command, code=1)[0])

    @unittest.skipUnless(support.LINUX, "the limit of Linux")
    def test_a_capped_receive_buffer_is_told(self) -> None:
        command = self.command("recv", self.channel(), "--timeout", 0, "--receive-buffer", 2**31 - 1)
        granted = command.event()[1]["receive_buffer"]
        text = f"the system granted a receive buffer of {granted} bytes instead of 2147483647; raise net.core.rmem_max"
        self.ended(command, errors=f"pytest-mcast recv: {text}\n")

    def test_a_receive_buffer_is_set(self) -> None:
        command = self.command("recv", self.channel(), "--timeout", 0, "--receive-buffer", 65536)
        self.assertEqual(command.event()[1]["receive_buffer"], "65536")
        self.ended(command)


class Sending(CommandTestCase):
    @support.each_kind
    def test_each_datagram_is_sent_and_is_a_line(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        receiver = self.receiver(channel)
        command = self.command("send", channel, "--count", 2, "--interval", 0)
        address = support.SOURCES[family]
        ready = (
            rf"ready channel={re.escape(str(channel))} group={channel.group} port={channel.port} "
            rf"interface={self.lo.index} interface_name=lo source={address} source_port=(\d+) ttl=1 dscp=0 loopback=yes"
        )
        self.assertRegex(command.line(), f"^{ready}$")
        for datagram in receiver.expect(2, timeout=WITHIN_S):
            line = (
                rf"sent source={address} source_port={datagram.source[1]} group={channel.group} port={channel.port} "
                rf"interface={self.lo.index} ttl=1 timestamp_ns=\d+ length=5 payload={b'hello'.hex()}"
            )
            self.assertRegex(command.line(), f"^{line}$")
        self.assertRegex(self.ended(command)[0], r"^summary ended=count sent=2 seconds=\d+\.\d{6}$")

    def test_one_is_the_default(self) -> None:
        command = self.ready("send", self.channel())
        self.assertIn("sent=1", self.ended(command)[-1])

    def test_payloads(self) -> None:
        cases = (
            (["--payload", "grüße"], "grüße".encode()),
            (["--payload", ""], b""),
            (["--hex", "00ff0a"], b"\x00\xff\n"),
            (["--size", "0"], b""),
            (["--size", "300"], bytes(range(256)) + bytes(range(44))),
        )
        for options, payload in cases:
            with self.subTest(options=options):
                channel = self.channel()
                receiver = self.receiver(channel)
                command = self.ready("send", channel, *options)
                self.assertEqual(receiver.recv(WITHIN_S).payload, payload)
                self.assertEqual(command.event()[1]["payload"], payload.hex())
                self.ended(command)

    @support.each_family
    def test_the_largest_payload_is_sent(self, family: str) -> None:
        size = 65507 if family == "ipv4" else 65527
        channel = self.channel(family)
        receiver = self.receiver(channel)
        command = self.ready("send", channel, "--size", size)
        self.assertEqual(len(receiver.recv(WITHIN_S).payload), size)
        self.ended(command)

    @support.each_family
    def test_ttl_and_dscp(self, family: str) -> None:
        channel = self.channel(family)
        receiver = self.receiver(channel)
        command = self.command("send", channel, "--ttl", 9, "--dscp", 46)
        ready = command.event()[1]
        datagram = receiver.recv(WITHIN_S)
        self.assertEqual((datagram.ttl, datagram.dscp), (9, 46))
        self.assertEqual((ready["ttl"], ready["dscp"]), ("9", "46"))
        self.ended(command)

    def test_without_loopback(self) -> None:
        command = self.command("send", self.channel(), "--no-loopback")
        self.assertEqual(command.event()[1]["loopback"], "no")
        self.ended(command)

    def test_a_source_of_ones_own(self) -> None:
        channel = self.channel(source=support.OTHER_SOURCES["ipv4"], mode="ssm")
        receiver = self.receiver(channel)
        command = self.ready("send", channel)
        self.assertEqual(receiver.recv(WITHIN_S).source[0], support.OTHER_SOURCES["ipv4"])
        self.ended(command)

    @support.each_family
    def test_a_group_of_ssm_needs_no_source(self, family: str) -> None:
        channel = self.channel(family, "ssm")
        group = "232.1.2.3" if family == "ipv4" else "ff31::8000:1"
        command = self.ready("send", Channel.unchecked(group, channel.port))
        self.assertEqual(command.event()[1]["source"], support.SOURCES[family])
        self.ended(command)


class Echoing(CommandTestCase):
    @support.each_kind
    def test_each_datagram_is_answered_and_is_a_line(self, family: str, mode: str) -> None:
        channel = self.channel(family, mode)
        command = self.ready("echo", channel, "--count", 2)
        sender = self.sender(channel)
        for payload in (b"one", b""):
            sender.send(payload)
            self.assertEqual(sender.recv(WITHIN_S).payload, payload)
            line = (
                rf"reply source={sender.source[0]} source_port={sender.source[1]} group={channel.group} "
                rf"port={channel.port} interface={self.lo.index} ttl=1 traffic_class=0 timestamp_ns=\d+ truncated=no "
                rf"length={len(payload)} payload={payload.hex()} reply_length={len(payload)} reply={payload.hex()}"
            )
            self.assertRegex(command.line(), f"^{line}$")
        summary = r"^summary ended=count replies=2 unanswered=0 rejected=- kernel_drops=0 seconds=\d+\.\d{6}$"
        self.assertRegex(self.ended(command)[0], summary)

    def test_a_payload_of_its_own(self) -> None:
        channel = self.channel()
        command = self.command("echo", channel, "--payload", "fixed", "--count", 1, "--json")
        command.line()
        sender = self.sender(channel)
        sender.send(b"question")
        self.assertEqual(sender.recv(WITHIN_S).payload, b"fixed")
        found = command.json()
        self.assertEqual((found["event"], found["payload"]), ("reply", b"question".hex()))
        self.assertEqual((found["reply"], found["reply_length"]), (b"fixed".hex(), 5))
        self.ended(command)

    def test_another_source_is_not_answered(self) -> None:
        channel = self.channel(mode="ssm", source=support.SOURCES["ipv4"])
        command = self.ready("echo", channel, "--count", 1)
        control = self.control(channel)
        other = self.sender(channel, source=support.OTHER_SOURCES["ipv4"])
        other.send(b"spoof")
        self.sender(channel).send(b"fence")
        control.expect(2)
        self.assertEqual(command.event()[1]["payload"], b"fence".hex())
        self.ended(command)
        with self.assertRaises(NotReceived):
            other.recv(0)


@unittest.skipIf(sys.platform == "win32", "POSIX signals")
class Signals(CommandTestCase):
    def endless(self) -> list[tuple[str, tuple[object, ...]]]:
        """Each command, with options with which it has no end, and waits."""
        return [("recv", ()), ("send", ("--count", 0, "--interval", 1000)), ("echo", ())]

    def test_a_signal_ends_with_the_summary(self) -> None:
        for name, options in self.endless():
            for number in SIGNALS:
                with self.subTest(name, signal=number.name):
                    command = self.ready(name, self.channel(), *options)
                    command.process.send_signal(number)
                    summary = self.ended(command)[-1]
                    self.assertRegex(summary, f"^summary ended={number.name} ")

    def test_a_signal_before_the_count_is_an_exit_code(self) -> None:
        for name, options in self.endless():
            with self.subTest(name):
                command = self.ready(name, self.channel(), *options, "--count", 3)
                command.process.send_signal(signal.SIGTERM)
                self.assertIn("ended=SIGTERM", self.ended(command, code=1)[-1])

    def test_a_signal_ends_it_in_the_middle_of_a_flood(self) -> None:
        command = self.ready("send", self.channel(), "--count", 0, "--interval", 0)
        for _ in range(100):
            command.line()
        command.process.send_signal(signal.SIGINT)
        lines = self.ended(command)
        sent = len(command.lines) - 1 + len(lines) - 1
        self.assertIn(f"ended=SIGINT sent={sent} ", lines[-1])

    def test_a_signal_before_it_is_ready_ends_with_the_summary(self) -> None:
        for name, options in self.endless():
            for number in SIGNALS:
                with self.subTest(name, signal=number.name):
                    # Blocked, it waits until the command wants it.
                    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
                    try:
                        command = self.command(name, self.channel(), *options)
                    finally:
                        signal.pthread_sigmask(signal.SIG_SETMASK, before)
                    command.process.send_signal(number)
                    lines = self.ended(command)
                    self.assertEqual([parsed(line)[0] for line in lines], ["ready", "summary"])
                    self.assertIn(f"ended={number.name}", lines[-1])

    def test_what_was_received_before_the_signal_is_printed(self) -> None:
        for name, event in (("recv", "datagram"), ("echo", "reply")):
            for number in SIGNALS:
                with self.subTest(name, signal=number.name):
                    channel = self.channel()
                    command = self.ready(name, channel)
                    sender = self.sender(channel)
                    self.stop(command)
                    payloads = [b"%d" % each for each in range(20)]
                    for payload in payloads:
                        sender.send(payload)
                    command.process.send_signal(number)
                    command.process.send_signal(signal.SIGCONT)
                    *lines, summary = map(parsed, self.ended(command))
                    self.assertEqual(
                        [(found, bytes.fromhex(fields["payload"])) for found, fields in lines],
                        [(event, payload) for payload in payloads],
                    )
                    self.assertEqual(summary[1]["ended"], number.name)

    def test_what_was_queued_ends_at_the_count(self) -> None:
        channel = self.channel()
        command = self.ready("recv", channel, "--count", 3)
        self.stop(command)
        sender = self.sender(channel)
        for _ in range(5):
            sender.send(b"x")
        command.process.send_signal(signal.SIGTERM)
        command.process.send_signal(signal.SIGCONT)
        self.assertIn("ended=count received=3", self.ended(command)[-1])

    def test_a_second_signal_changes_nothing(self) -> None:
        command = self.ready("recv", self.channel())
        self.stop(command)
        for number in SIGNALS:
            command.process.send_signal(number)
        command.process.send_signal(signal.SIGCONT)
        (summary,) = self.ended(command)
        self.assertRegex(summary, "^summary ended=SIG(INT|TERM) ")

    def test_an_ignored_signal_ends_it_as_well(self) -> None:
        # A shell without job control starts what is in the background with SIGINT ignored.
        prefix = [sys.executable, "-c", IGNORING, *MODULE]
        channel = self.channel()
        command = self.opened(Command(["recv", channel.group, channel.port, "--interface", "lo"], prefix))
        command.line()
        command.process.send_signal(signal.SIGINT)
        self.assertIn("ended=SIGINT", self.ended(command)[0])

    def stop(self, command: Command) -> None:
        """Stop it, and wait until it has stopped."""
        command.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, command.process.pid, os.WSTOPPED | os.WNOWAIT)


IGNORING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"


@unittest.skipUnless(support.LINUX, "other systems tell at the next line")
class Output(CommandTestCase):
    def test_it_ends_when_nobody_reads_any_more(self) -> None:
        for name, options in (("recv", ()), ("send", ("--count", 0, "--interval", 1000)), ("echo", ())):
            with self.subTest(name):
                command = self.ready(name, self.channel(), *options)
                if name == "send":
                    command.line()
                self.hang_up(command)

    def test_it_ends_when_nobody_reads_while_it_writes(self) -> None:
        command = self.ready("send", self.channel(), "--count", 0, "--interval", 0)
        self.hang_up(command)

    def hang_up(self, command: Command) -> None:
        """Close the pipe that it writes to, and expect that it ends without a word."""
        assert command.process.stdout is not None
        assert command.process.stderr is not None
        command.process.stdout.close()
        code = command.process.wait(WITHIN_S)
        self.assertEqual((code, command.process.stderr.read()), (141, b""))

    def test_it_ends_when_there_never_was_a_reader(self) -> None:
        self.assertEqual(self.into(">&-"), (141, ""))

    def test_what_cannot_be_written_is_told(self) -> None:
        code, said = self.into(">/dev/full")
        self.assertEqual((code, said), (3, "pytest-mcast recv: cannot write: [Errno 28] No space left on device\n"))

    def test_it_says_nothing_where_nobody_listens(self) -> None:
        self.assertEqual(self.into(">/dev/null 2>&-", "--interface", "nope")[0], 2)

    def test_an_error_that_cannot_be_said_has_its_exit_code(self) -> None:
        self.assertEqual(self.into(">/dev/null 2>/dev/full", "--interface", "nope")[0], 2)

    def into(self, redirection: str, *options: str) -> tuple[int, str]:
        channel = self.channel()
        shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *MODULE]
        command = self.opened(Command(["recv", channel.group, channel.port, "--timeout", 0, *options], shell))
        code, lines, said = command.end()
        self.assertEqual(lines, [])
        return code, said


BAD_ARGUMENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("COMMAND",)),
    ("listen 239.1.2.3 5000", ("'listen'", "recv", "send", "echo")),
    ("recv 239.1.2.3", ("PORT",)),
    ("recv 10.1.2.3 5000", ("pytest-mcast recv: group 10.1.2.3 is a unicast address; groups are in 224.0.0.0/4",)),
    ("recv nonsense 5000", ("group 'nonsense' is not an IPv4 or IPv6 address",)),
    ("recv 232.1.2.3 5000", ("needs a source",)),
    ("recv 239.1.2.3 65536", ("'65536' is not a whole number from 0 to 65535",)),
    ("recv 239.1.2.3 http", ("'http' is not a whole number from 0 to 65535",)),
    ("recv 239.1.2.3 5000 --source ::1", ("source ::1 and group 239.1.2.3 are of different families",)),
    ("recv 239.1.2.3 5000 --interface nope", ("no interface is named 'nope'; there are: lo (index",)),
    ("recv 239.1.2.3 5000 --count -1", ("'-1' is not a whole number 0 or more",)),
    ("recv 239.1.2.3 5000 --timeout soon", ("'soon' is not a number of seconds from 0 to 1000000",)),
    ("recv 239.1.2.3 5000 --timeout nan", ("'nan' is not a number of seconds from 0 to 1000000",)),
    ("recv 239.1.2.3 5000 --timeout 1e7", ("'1e7' is not a number of seconds from 0 to 1000000",)),
    ("recv 239.1.2.3 5000 --receive-buffer 0", ("'0' is not a whole number from 1 to 2147483647",)),
    ("send 239.1.2.3 0", ("'0' is not a whole number from 1 to 65535",)),
    ("send 239.1.2.3 5000 --ttl 256", ("'256' is not a whole number from 0 to 255",)),
    ("send 239.1.2.3 5000 --dscp 64", ("'64' is not a whole number from 0 to 63",)),
    ("send 239.1.2.3 5000 --hex abc", ("'abc' is not an even number of hexadecimal digits",)),
    ("send 239.1.2.3 5000 --size 65508", ("65508 bytes is more than a datagram of ipv4 takes: 0 to 65507",)),
    ("send ff15::1 5000 --size 65528", ("'65528' is not a whole number from 0 to 65527",)),
    ("send 239.1.2.3 5000 --size 1 --hex 00", ("--hex", "--size", "not allowed")),
    ("send 239.1.2.3 5000 --interface lo --source 10.9.9.9", ("interface lo has no ipv4 address 10.9.9.9, only 127.",)),
    ("echo 10.1.2.3 5000", ("pytest-mcast echo: group 10.1.2.3 is a unicast address",)),
)


FIELDS = {
    "a": None,
    "b": True,
    "c": False,
    "d": {"y": 2, "x": 1},
    "e": {},
    "f": "Wi-Fi 2\\\u2603\udc80\n",
    "g": 0.5,
    "h": "",
}


class Words(support.CoreTestCase):
    def written(self, *, as_json: bool) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            Lines(as_json=as_json).write("event", FIELDS)
        return output.getvalue()

    def test_each_value_is_a_word(self) -> None:
        line = r"event a=- b=yes c=no d=x:1,y:2 e=- f=Wi-Fi\x202\\\u2603\udc80\n g=0.500000 h="
        self.assertEqual(self.written(as_json=False), line + "\n")

    def test_each_value_is_kept_in_an_object_of_ascii(self) -> None:
        line = self.written(as_json=True)
        self.assertEqual(json.loads(line), {"event": "event", **FIELDS})
        self.assertTrue(line.isascii())


class Refusals(CommandTestCase):
    def test_bad_arguments_are_named_with_the_choices(self) -> None:
        for arguments, texts in BAD_ARGUMENTS:
            with self.subTest(arguments):
                code, lines, said = self.started(*arguments.split()).end()
                self.assertEqual((code, lines), (2, []))
                for text in texts:
                    self.assertIn(text, said)
                self.assertNotIn("Traceback", said)

    def test_they_are_an_object_as_well(self) -> None:
        command = self.started("recv", "10.1.2.3", 5000, "--json")
        self.assertEqual(
            command.json(),
            {
                "event": "error",
                "message": "group 10.1.2.3 is a unicast address; groups are in 224.0.0.0/4",
                "exit_code": 2,
            },
        )
        self.assertEqual(command.end()[:2], (2, []))

    def test_a_port_that_is_taken_is_refused_by_the_system(self) -> None:
        channel = self.channel()
        self.opened(support.udp_socket("ipv4")).bind(("", channel.port))
        for name in ("recv", "echo"):
            with self.subTest(name):
                text = f"{channel.group} port {channel.port}: Address already in use"
                lines = self.ended(self.command(name, channel), code=3, errors=f"pytest-mcast {name}: {text}\n")
                self.assertEqual(lines, [])


class Bare(CommandTestCase):
    def test_nothing_but_the_standard_library_and_the_core_is_imported(self) -> None:
        channel = self.channel()
        arguments = ["recv", channel.group, channel.port, "--interface", "lo", "--timeout", 0, "--json"]
        prefix = [sys.executable, "-I", "-S", "-W", "error", "-c", BARE, str(Path(pytest_mcast.__file__).parents[1])]
        command = self.opened(Command(arguments, prefix))
        *lines, names, files = self.ended(command)
        self.assertEqual([json.loads(line)["event"] for line in lines], ["ready", "summary"])
        own = {name for name in names.split() if name.startswith("pytest_mcast")}
        self.assertLessEqual({"pytest_mcast.core.commands", "pytest_mcast.core.ending"}, own)
        self.assertEqual({name for name in own if not (name + ".").startswith("pytest_mcast.core.")}, {"pytest_mcast"})
        folders = (
            sysconfig.get_path("stdlib"),
            sysconfig.get_path("platstdlib"),
            sysconfig.get_config_var("DESTSHARED"),
        )
        real = tuple(os.path.realpath(folder) for folder in folders if folder)
        foreign = [
            name
            for name in files.split()
            if not os.path.realpath(name).startswith((*real, os.path.realpath(Path(pytest_mcast.__file__).parent)))
            or "site-packages" in name.replace(str(Path(pytest_mcast.__file__).parent), "")
        ]
        self.assertEqual(foreign, [])

    def test_the_help_has_the_exit_codes(self) -> None:
        for name in ("recv", "send", "echo"):
            with self.subTest(name):
                text = "\n".join(self.ended(self.started(name, "--help")))
                for code in (0, 1, 2, 3, 141):
                    self.assertRegex(text, rf"(?m)^  {code} +\S")


BARE = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
try:
    runpy.run_module("pytest_mcast.core", run_name="__main__", alter_sys=True)
finally:
    print(*sorted(sys.modules))
    print(*sorted(filter(None, (getattr(module, "__file__", None) for module in sys.modules.values()))))
"""


def as_json(datagram: Datagram) -> dict[str, Any]:
    """What is printed of a datagram, but for the time."""
    return {
        "source": datagram.source[0],
        "source_port": datagram.source[1],
        "group": datagram.destination,
        "port": datagram.port,
        "interface": datagram.interface_index,
        "ttl": datagram.ttl,
        "traffic_class": datagram.traffic_class,
        "truncated": datagram.truncated,
        "length": len(datagram.payload),
        "payload": datagram.payload.hex(),
    }
