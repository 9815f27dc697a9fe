"""The options of IPv4: known ones, unknown ones, source routes, and malformed ones."""

from __future__ import annotations

from pytest_mcast.packets import deliver, drop, either, ipv4_option, udp

from .case import Difference, register
from .probing import ProbeCase
from .setup import sysctl

__all__: list[str] = []

_OPTIONS = "RFC 1122 section 3.2.1.8"
_COMPILE = "__ip_options_compile(), RFC 791 section 3.1"
_ROUTE = "ip_rcv_options(), ip-sysctl accept_source_route, RFC 7126 sections 4.3 and 4.4"
_NO_MATTER = "an option that does not concern UDP is no reason to drop"
_MALFORMED = "what follows a malformed option cannot be understood"
_VIA = bytes((192, 0, 2, 1))  # RFC 5737
_STAMP = bytes(4)


def _route(kind: str, pointer: int, hops: int = 1) -> bytes:
    """Return a source route or a record route; a pointer past its end says that it is complete (RFC 791 section 3.1)."""
    return ipv4_option(kind, bytes([pointer]) + _VIA * hops)


def _timestamp(pointer: int, flags: int, data: bytes) -> bytes:
    """Return a timestamp option; ``flags`` are the overflow counter (the upper 4 bits) and the flag."""
    return ipv4_option("timestamp", bytes([pointer, flags]) + data)


_ACCEPTED = (sysctl("ipv4/conf/{}/accept_source_route", 1),)
_REFUSED = (sysctl("ipv4/conf/{}/accept_source_route", 0),)

register(
    *(
        ProbeCase(
            f"option4.{name}",
            f"with {title}",
            "MUST",
            reference,
            reason,
            families=("ipv4",),
            direct=True,
            probe=udp().with_options(*options),
            expect=deliver(),
        )
        for name, title, reference, reason, options in (
            ("nop", "a no-operation option", _OPTIONS, "it is there to align what follows", [ipv4_option("nop")] * 4),
            (
                "nop-40",
                "40 bytes of no-operation options, the longest header there is",
                _OPTIONS,
                "a header may have 60 bytes",
                [ipv4_option("nop")] * 40,
            ),
            ("end", "an end-of-list option", _OPTIONS, "the rest is padding", [ipv4_option("end")]),
            (
                "end-then-bytes",
                "an end-of-list option, and bytes after it that are no option",
                "RFC 791 section 3.1",
                "what follows the end is padding",
                [ipv4_option("end"), b"\x83\x00\xff"],
            ),
            (
                "router-alert",
                "a router alert",
                "RFC 2113 section 2.2",
                "it is for routers on the way: hosts ignore it",
                [ipv4_option("router-alert", bytes(2))],
            ),
            (
                "router-alert-reserved",
                "a router alert of a reserved value",
                "RFC 2113 section 2.2",
                "hosts ignore the option, whatever its value",
                [ipv4_option("router-alert", b"\xff\xff")],
            ),
            (
                "record-route-full",
                "a record route that is full",
                f"{_OPTIONS} (d)",
                _NO_MATTER,
                [_route("record-route", 8)],
            ),
            (
                "record-route-room",
                "a record route with room for one address more",
                f"{_OPTIONS} (d)",
                _NO_MATTER,
                [_route("record-route", 8, 2)],
            ),
            (
                "timestamp",
                "a timestamp option with room for one",
                f"{_OPTIONS} (e)",
                _NO_MATTER,
                [_timestamp(5, 0x00, _STAMP)],
            ),
            (
                "timestamp-full",
                "a timestamp option that is full",
                f"{_OPTIONS} (e)",
                _NO_MATTER,
                [_timestamp(9, 0x00, _STAMP)],
            ),
            (
                "timestamp-with-address",
                "a timestamp option with room for an address and a timestamp",
                f"{_OPTIONS} (e)",
                _NO_MATTER,
                [_timestamp(5, 0x01, bytes(8))],
            ),
            (
                "timestamp-of-another",
                "a timestamp option that asks another host",
                f"{_OPTIONS} (e)",
                _NO_MATTER,
                [_timestamp(5, 0x03, _VIA + _STAMP)],
            ),
            ("security", "a security option (RFC 1108)", f"{_OPTIONS} (a)", _NO_MATTER, [ipv4_option(130, bytes(9))]),
            (
                "stream",
                "a stream identifier",
                f"{_OPTIONS} (b), RFC 6814",
                "it is obsolete, and ignored",
                [ipv4_option(136, b"\0\1")],
            ),
            *(
                (
                    f"experiment-{number}",
                    f"option {number}, one of those for experiments",
                    f"{_OPTIONS}, RFC 4727",
                    "options that are not understood are silently ignored",
                    [ipv4_option(number, b"\xab\xcd")],
                )
                for number in (30, 94, 158, 222)
            ),
            (
                "unknown-empty",
                "an unknown option without data",
                _OPTIONS,
                "options that are not understood are silently ignored",
                [ipv4_option(94)],
            ),
            (
                "several",
                "a router alert, a record route, a timestamp and an unknown option",
                _OPTIONS,
                _NO_MATTER,
                [
                    ipv4_option("router-alert", bytes(2)),
                    _route("record-route", 8),
                    _timestamp(9, 0x00, _STAMP),
                    ipv4_option(94, b"\xab"),
                ],
            ),
        )
    ),
    *(
        ProbeCase(
            f"option4.{name}",
            f"with {title}",
            "kernel",
            _COMPILE,
            reason,
            families=("ipv4",),
            direct=True,
            probe=udp().with_options(*options),
            expect=deliver(),
        )
        for name, title, reason, options in (
            (
                "router-alert-twice",
                "two router alerts",
                "nobody says that there may be one only",
                [ipv4_option("router-alert", bytes(2))] * 2,
            ),
            (
                "timestamp-overflow",
                "a timestamp option that is full, and whose counter is just below its highest",
                "the counter goes up once more",
                [_timestamp(9, 0xE0, _STAMP)],
            ),
        )
    ),
    *(
        ProbeCase(
            f"option4.{name}",
            f"with {title}",
            "kernel",
            _COMPILE,
            reason,
            families=("ipv4",),
            direct=True,
            probe=udp().with_options(*options),
            expect=drop(),
        )
        for name, title, reason, options in (
            ("length-0", "an option of length 0", _MALFORMED, [ipv4_option(94, b"\0\0", length=0)]),
            ("length-1", "an option of length 1", _MALFORMED, [ipv4_option(94, b"\0\0", length=1)]),
            (
                "length-past-header",
                "an option that goes past the header",
                _MALFORMED,
                [ipv4_option(94, b"\0\0", length=40)],
            ),
            (
                "length-missing",
                "an option whose length would be the first byte after the header",
                _MALFORMED,
                [ipv4_option("nop")] * 3 + [b"\x5e"],
            ),
            (
                "router-alert-short",
                "a router alert of 2 bytes",
                "it has no value",
                [ipv4_option("router-alert")],
            ),
            (
                "record-route-short",
                "a record route of 2 bytes",
                "it has no pointer",
                [ipv4_option("record-route")],
            ),
            (
                "record-route-low-pointer",
                "a record route whose pointer is 3",
                "the first address is at 4",
                [_route("record-route", 3)],
            ),
            (
                "record-route-odd",
                "a record route with room for half an address",
                "the next address does not fit in",
                [ipv4_option("record-route", b"\x04" + _VIA[:2])],
            ),
            (
                "record-route-twice",
                "two record routes",
                "a datagram has one at most",
                [_route("record-route", 8)] * 2,
            ),
            (
                "timestamp-short",
                "a timestamp option of 3 bytes",
                "it has no flags",
                [ipv4_option("timestamp", b"\x05")],
            ),
            (
                "timestamp-low-pointer",
                "a timestamp option whose pointer is 4",
                "the first timestamp is at 5",
                [_timestamp(4, 0x00, _STAMP)],
            ),
            (
                "timestamp-overflown",
                "a timestamp option that is full, and whose counter is at its highest",
                "the counter cannot go up any more",
                [_timestamp(9, 0xF0, _STAMP)],
            ),
            (
                "timestamp-twice",
                "two timestamp options",
                "a datagram has one at most",
                [_timestamp(9, 0x00, _STAMP)] * 2,
            ),
            (
                "source-routes-two",
                "a loose and a strict source route",
                "a datagram has one at most",
                [_route("lsrr", 8), _route("ssrr", 8)],
            ),
            (
                "source-route-low-pointer",
                "a loose source route whose pointer is 3",
                "the first address is at 4",
                [_route("lsrr", 3)],
            ),
        )
    ),
    *(
        ProbeCase(
            f"option4.{name}",
            f"with {title}; accept_source_route {accepted}",
            "kernel",
            _ROUTE,
            reason,
            families=("ipv4",),
            direct=True,
            setup=_ACCEPTED if accepted else _REFUSED,
            probe=udp().with_options(_route(kind, 4)),
            expect=drop(),
        )
        for name, kind, title, accepted, reason in (
            ("lsrr", "lsrr", "a loose source route that goes on", 0, "source routes are not accepted"),
            ("ssrr", "ssrr", "a strict source route that goes on", 0, "source routes are not accepted"),
            ("lsrr-accepted", "lsrr", "a loose source route that goes on", 1, "a group cannot be on the way elsewhere"),
            (
                "ssrr-accepted",
                "ssrr",
                "a strict source route that goes on",
                1,
                "a group cannot be on the way elsewhere",
            ),
        )
    ),
    *(
        ProbeCase(
            f"option4.{name}",
            f"with a {kind} source route that is complete; accept_source_route {accepted}",
            "MUST",
            f"{_OPTIONS} (c)",
            "the datagram has come to its destination, and the route is for the transport layer",
            families=("ipv4",),
            direct=True,
            setup=_ACCEPTED if accepted else _REFUSED,
            probe=udp().with_options(_route(option, 8)),
            expect=deliver(),
            differences={"linux": Difference(either(), why)},
        )
        for name, kind, option, accepted, why in (
            (
                "lsrr-complete",
                "loose",
                "lsrr",
                0,
                "ip_rcv_options() drops every source route, as RFC 7126 section 4.3 recommends",
            ),
            (
                "ssrr-complete",
                "strict",
                "ssrr",
                0,
                "ip_rcv_options() drops every source route, as RFC 7126 section 4.4 recommends",
            ),
            ("lsrr-complete-accepted", "loose", "lsrr", 1, "ip_options_rcv_srr() drops what came as multicast"),
            ("ssrr-complete-accepted", "strict", "ssrr", 1, "ip_options_rcv_srr() drops what came as multicast"),
        )
    ),
)
