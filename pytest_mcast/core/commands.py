"""The commands ``recv``, ``send`` and ``echo``: ``pytest-mcast recv``, or ``python -m pytest_mcast.core recv``.

Their lines and exit codes are an interface: docs/commands.md has them.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from .channels import Channel
from .deadline import Deadline
from .ending import Ending
from .errors import CappedBufferWarning, ChannelError, InterfaceError, McastError
from .interfaces import Interface
from .lines import Lines, OutputLost, discard
from .sender import Sender
from .subscriptions import Subscription

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from .datagrams import Datagram, Sent

__all__ = ["add_parsers", "main"]

_DONE, _TOO_FEW, _BAD_ARGUMENT, _REFUSED, _NO_READER = 0, 1, 2, 3, 141
_EXIT_CODES = """\
exit codes:
  0    --count is reached; without --count: ended by SIGINT, SIGTERM or --timeout
  1    ended by SIGINT, SIGTERM or --timeout before --count was reached
  2    an argument is no good
  3    the system refuses: to bind, join, send or write; or the interface is gone
  141  nobody reads the output any more
"""

_Fields = Dict[str, Any]
_Steps = Iterator[Tuple[str, _Fields]]
_Command = Callable[[argparse.Namespace, Lines, Ending], int]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one of the commands with these arguments (default: those of the process) and return its exit code."""
    parser = argparse.ArgumentParser(prog="pytest-mcast", description="Multicast from the command line.")
    add_parsers(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def add_parsers(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands; ``run`` of the parsed options, called with them, returns the exit code."""
    recv = _parser(commands, "recv", _recv, "join a channel and print a line for each datagram", endless=True)
    recv.add_argument("--source", metavar="ADDRESS", help="the one source that is wanted (SSM; default: any)")
    recv.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="end after this time, from ready on")
    recv.add_argument(
        "--receive-buffer", type=_number(1, 2**31 - 1), metavar="BYTES", help="receive buffer of the socket"
    )

    send = _parser(commands, "send", _send, "send datagrams to a channel and print a line for each", endless=False)
    send.add_argument("--source", metavar="ADDRESS", help="address to send from (default: the interface's that fits)")
    send.add_argument(
        "--ttl", type=_number(0, 255), default=1, metavar="N", help="TTL or hop limit (default: 1, the link)"
    )
    send.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="time between two (default: 1)")
    payload = send.add_mutually_exclusive_group()
    payload.add_argument("--payload", type=os.fsencode, metavar="TEXT", help="payload (default: hello)")
    payload.add_argument("--hex", type=_bytes, dest="payload", metavar="HEX", help="payload, as hexadecimal digits")
    payload.add_argument(
        "--size", type=_pattern, dest="payload", metavar="BYTES", help="payload of the bytes 0, 1 ... 255, 0 ..."
    )
    send.add_argument("--no-loopback", action="store_true", help="not to receivers on this machine")
    send.add_argument("--dscp", type=_number(0, 63), default=0, metavar="N", help="DSCP (RFC 2474; default: 0)")

    echo = _parser(commands, "echo", _echo, "answer each datagram of a channel and print a line for it", endless=True)
    echo.add_argument("--source", metavar="ADDRESS", help="the one source that is answered (SSM; default: any)")
    echo.add_argument("--payload", type=os.fsencode, metavar="TEXT", help="answer with this (default: what came in)")


def _parser(
    commands: _SubParsersAction[argparse.ArgumentParser], name: str, command: _Command, text: str, *, endless: bool
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text.capitalize()}. The lines are for programs to read; SIGINT and SIGTERM end with a summary.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("group", metavar="GROUP", help="IPv4 or IPv6 group")
    least, port = (0, "UDP port; 0: the system picks one") if endless else (1, "UDP port")
    parser.add_argument("port", type=_number(least, 65535), metavar="PORT", help=port)
    parser.add_argument("--interface", metavar="NAME|INDEX|ADDRESS", help="interface (default: the one best fit)")
    count = "end after N datagrams; 0: no end (default: %(default)s)"
    parser.add_argument("--count", type=_number(0, sys.maxsize), default=0 if endless else 1, metavar="N", help=count)
    parser.add_argument("--json", action="store_true", help="lines of JSON")
    parser.set_defaults(run=_run, name=name, command=command)
    return parser


def _run(options: argparse.Namespace) -> int:
    """Run a command, and say in words and by the exit code what is wrong with its arguments or the system."""
    lines = Lines(as_json=options.json)
    try:
        with Ending() as ending:
            try:
                return int(options.command(options, lines, ending))
            except InterfaceError as error:
                named = options.interface or options.source
                return _fail(options, lines, error, _BAD_ARGUMENT if named else _REFUSED)
            except ChannelError as error:
                return _fail(options, lines, error, _BAD_ARGUMENT)
            except OSError as error:
                return _fail(options, lines, error, _REFUSED)
    except OutputLost as lost:
        if isinstance(lost.args[0], BrokenPipeError):
            return _NO_READER
        _say(options.name, f"cannot write: {lost.args[0]}")
        return _REFUSED


def _fail(options: argparse.Namespace, lines: Lines, error: Exception, code: int) -> int:
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, McastError):
        text = f"{options.group} port {options.port}: {error.strerror or text}"
    _say(options.name, text)
    lines.error(text, code)
    return code


def _say(name: str, text: str) -> None:
    if sys.stderr is None:  # closed by who started us
        return
    try:
        print(f"pytest-mcast {name}: {text}", file=sys.stderr, flush=True)  # noqa: T201 - a program
    except OSError:  # nobody hears it; the exit code still tells
        discard(sys.stderr)


def _recv(options: argparse.Namespace, lines: Lines, ending: Ending) -> int:
    with _joined(options, options.receive_buffer) as subscription:
        lines.write("ready", _listening(subscription))
        ending.watch_interface(subscription.interface)
        ending.deadline = Deadline(options.timeout)
        steps = (("datagram", _received(datagram)) for datagram in _arrivals(subscription, ending))

        def totals(counts: Mapping[str, int]) -> _Fields:
            return {"received": counts["datagram"], **_losses(subscription)}

        return _to_the_end(options, lines, ending, steps, totals)


def _send(options: argparse.Namespace, lines: Lines, ending: Ending) -> int:
    # A group of SSM needs a source, which will be the system's choice if it is none of ours: until then one stands in.
    stand_in = "2001:db8::1" if ":" in options.group else "192.0.2.1"
    checked = Channel(options.group, options.port, options.source or stand_in)
    channel = Channel.unchecked(checked.group, checked.port, checked.source if options.source else None)
    payload = b"hello" if options.payload is None else options.payload
    _check_size(payload, channel.family)
    sender = Sender(
        channel,
        options.interface or options.source,
        source=channel.source,
        ttl=options.ttl,
        loopback=not options.no_loopback,
        dscp=options.dscp,
    )

    def steps() -> _Steps:
        due = 0.0
        started = time.monotonic()
        while not ending.over:
            next_one = Deadline(max(0.0, started + due - time.monotonic()))
            if not next_one.passed():
                ending.wait(next_one)
                continue
            due += options.interval
            yield "sent", _sent(sender.send(payload), sender.interface)

    with sender:
        source, port = sender.source
        ready = {"source": source, "source_port": port, "ttl": sender.ttl, "dscp": sender.dscp}
        lines.write("ready", {**_place(channel, sender.interface), **ready, "loopback": sender.loopback})
        ending.watch_interface(sender.interface)
        return _to_the_end(options, lines, ending, steps(), lambda counts: {"sent": counts["sent"]})


def _echo(options: argparse.Namespace, lines: Lines, ending: Ending) -> int:
    family = "ipv6" if ":" in options.group else "ipv4"
    _check_size(options.payload or b"", family)

    def steps(subscription: Subscription) -> _Steps:
        for datagram in _arrivals(subscription, ending):
            address, port = datagram.source
            reply = datagram.payload if options.payload is None else options.payload
            to = (address, port, 0, subscription.interface.index) if family == "ipv6" else (address, port)
            try:
                subscription.socket.sendto(reply, to)
            except OSError as error:  # the sender's doing (port 0, say), which must not stop us for others
                reason = errno.errorcode.get(error.errno or 0, str(error.errno))
                yield "unanswered", {**_received(datagram), "reason": reason}
            else:
                yield "reply", {**_received(datagram), "reply_length": len(reply), "reply": reply.hex()}

    def totals(counts: Mapping[str, int]) -> _Fields:
        return {"replies": counts["reply"], "unanswered": counts["unanswered"], **_losses(subscription)}

    with _joined(options, None) as subscription:
        lines.write("ready", _listening(subscription))
        ending.watch_interface(subscription.interface)
        return _to_the_end(options, lines, ending, steps(subscription), totals)


def _joined(options: argparse.Namespace, receive_buffer: Optional[int]) -> Subscription:
    channel = Channel(options.group, options.port, options.source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CappedBufferWarning)
        subscription = Subscription(channel, options.interface, receive_buffer=receive_buffer)
    for warning in caught:
        _say(options.name, str(warning.message))
    try:
        subscription.join()
    except BaseException:  # whatever it is: let go, and pass it on
        subscription.close()
        raise
    return subscription


def _arrivals(subscription: Subscription, ending: Ending) -> Iterator[Datagram]:
    """Yield datagrams to the end, and then what was queued by then."""
    ending.watch(subscription.fileno())
    while not ending.over:
        datagram = subscription.receive(Deadline(0))
        if datagram is None:
            ending.wait()
        else:
            yield datagram
    # No buffer holds more (Linux counts more than 512 bytes for each), and a flood must not keep us.
    for _ in range(2 * subscription.receive_buffer // 512):
        datagram = subscription.receive(Deadline(0))
        if datagram is None:
            break
        yield datagram


def _to_the_end(
    options: argparse.Namespace,
    lines: Lines,
    ending: Ending,
    steps: _Steps,
    totals: Callable[[Mapping[str, int]], _Fields],
) -> int:
    """Write a line for each step until ``--count`` is reached (0: no end), then the summary."""
    started = time.monotonic()
    counts: Dict[str, int] = Counter()
    code, reached = _DONE if options.count == 0 else _TOO_FEW, False
    try:
        for event, fields in steps:
            lines.write(event, fields)
            counts[event] += 1
            if event != "unanswered" and counts[event] == options.count:
                code, reached = _DONE, True
                break
        else:
            if ending.error is not None:
                raise ending.error
    except OSError as error:
        code = _fail(options, lines, error, _REFUSED)
    ended = "error" if code == _REFUSED else "count" if reached else ending.reason
    lines.write("summary", {"ended": ended, **totals(counts), "seconds": round(time.monotonic() - started, 6)})
    return code


def _place(channel: Channel, interface: Interface) -> _Fields:
    return {
        "channel": str(channel),
        "group": channel.group,
        "port": channel.port,
        "interface": interface.index,
        "interface_name": interface.name,
    }


def _listening(subscription: Subscription) -> _Fields:
    place = _place(subscription.channel, subscription.interface)
    return {**place, "source": subscription.channel.source, "receive_buffer": subscription.receive_buffer}


def _received(datagram: Datagram) -> _Fields:
    return {
        "source": datagram.source[0],
        "source_port": datagram.source[1],
        "group": datagram.destination,
        "port": datagram.port,
        "interface": datagram.interface_index,
        "ttl": datagram.ttl,
        "traffic_class": datagram.traffic_class,
        "timestamp_ns": datagram.timestamp_ns,
        "truncated": datagram.truncated,
        "length": len(datagram.payload),
        "payload": datagram.payload.hex(),
    }


def _sent(sent: Sent, interface: Interface) -> _Fields:
    return {
        "source": sent.source[0],
        "source_port": sent.source[1],
        "group": sent.channel.group,
        "port": sent.channel.port,
        "interface": interface.index,
        "ttl": sent.ttl,
        "timestamp_ns": sent.timestamp_ns,
        "length": len(sent.payload),
        "payload": sent.payload.hex(),
    }


def _losses(subscription: Subscription) -> _Fields:
    statistics = subscription.statistics()
    return {"rejected": statistics.rejected, "kernel_drops": statistics.kernel_drops}


def _check_size(payload: bytes, family: str) -> None:
    most = 65527 if family == "ipv6" else 65507  # the length of UDP, and of IPv4, is 16 bits
    if len(payload) > most:
        raise ChannelError(f"a payload of {len(payload)} bytes is more than a datagram of {family} takes: 0 to {most}")


def _number(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= number <= most:
            limits = f"{least} or more" if most == sys.maxsize else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return number

    return convert


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 1_000_000:  # epoll_wait(2) takes no more than 24 days
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 1000000")
    return seconds


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an even number of hexadecimal digits") from None


def _pattern(text: str) -> bytes:
    size = _number(0, 65527)(text)
    return (bytes(range(256)) * (size // 256 + 1))[:size]
