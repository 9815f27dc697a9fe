"""Lines of output become datagrams."""

from __future__ import annotations

import re

import pytest

from pytest_mcast import Channel
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.records import Records, ReportedDatagram, length_of

CHANNEL = Channel("239.1.2.3", 5000)
INDEXES = {"lo": 1, "eth0": 7}
ALL = (
    r"from=(?P<source>\S+):(?P<source_port>\d+) to=(?P<group>\S+):(?P<port>\d+) on=(?P<interface>\S+) "
    r"ttl=(?P<ttl>\d+) len=(?P<length>\d+) (?P<payload>.*)$"
)


def read(patterns: list[str], *lines: str, limit: int | None = None) -> list[ReportedDatagram]:
    return list(Records([re.compile(one) for one in patterns], CHANNEL, INDEXES, limit).feed(lines))


def test_everything_that_can_be_told() -> None:
    (datagram,) = read([ALL], "[1] from=10.0.0.1:4000 to=239.1.2.3:5000 on=eth0 ttl=7 len=5 hello")
    expected = ReportedDatagram(b"hello", ("10.0.0.1", 4000), "239.1.2.3", 5000, 7, 7, None, None, length=5)
    assert datagram == expected
    assert not datagram.truncated


def test_what_is_not_told_is_unknown_but_for_the_port_that_it_was_told() -> None:
    (datagram,) = read(["^packet$"], "packet")
    assert datagram == ReportedDatagram(b"", ("", 0), None, 5000, None, None, None, None)


def test_other_lines_are_passed_over() -> None:
    assert [one.payload for one in read(["^p (?P<payload>.*)$"], "", "noise", "p 1", "noise p 3", "p 2")] == [
        b"1",
        b"2",
    ]


def test_a_record_of_several_lines_with_others_between_them() -> None:
    records = Records([re.compile("^a (?P<source>.*)"), re.compile("^b (?P<payload>.*)")], CHANNEL, INDEXES)
    assert list(records.feed(["b 0", "a 10.0.0.1", "noise"])) == []
    (datagram,) = records.feed(["b 1", "b 2"])
    assert (datagram.source, datagram.payload) == (("10.0.0.1", 0), b"1")


def test_a_group_that_took_no_part_is_not_told() -> None:
    pattern = r"^(?:0x(?P<payload_hex>[0-9a-f]*)|(?P<payload>.*))$"
    assert [one.payload for one in read([pattern], "0x6869", "text")] == [b"hi", b"text"]
    first, second = read([r"^(?:ttl=(?P<ttl>\d+) )?(?P<payload>.*)$"], "ttl=3 a", "b")
    assert (first.ttl, second.ttl) == (3, None)


@pytest.mark.parametrize(
    ("pattern", "line", "payload"),
    [
        (r"(?P<payload>.*)", "h\N{LATIN SMALL LETTER E WITH ACUTE}llo", b"h\xc3\xa9llo"),
        (r"x(?P<payload_hex>.*)", "x 00 0aFF", b"\x00\x0a\xff"),
        (r"x(?P<payload_hex>.*)", "x", b""),
        (r"b(?P<payload_base64>.*)", "bAAr/", b"\x00\x0a\xff"),
    ],
)
def test_payloads_are_text_hexadecimal_or_base64(pattern: str, line: str, payload: bytes) -> None:
    assert [one.payload for one in read([pattern], line)] == [payload]


@pytest.mark.parametrize(
    ("line", "payload", "truncated", "length"),
    [
        ("4 abcd", b"abcd", False, 4),  # as long as can be told, and no longer
        ("9 abcd", b"abcd", True, 9),
        ("9 abcd...", b"abcd", True, 9),  # the dots are not the payload's
        ("2 ab", b"ab", False, 2),
        ("9 ab", b"ab", True, 9),  # less is told of what is not text
    ],
)
def test_a_payload_is_cut_when_its_length_says_so(line: str, payload: bytes, truncated: bool, length: int) -> None:
    (datagram,) = read([r"(?P<length>\d+) (?P<payload>.*)"], line, limit=4)
    assert (datagram.payload, datagram.truncated, datagram.length) == (payload, truncated, length)
    assert length_of(datagram) == length


@pytest.mark.parametrize(("line", "truncated"), [("abc", False), ("abcd", True), ("abcde", True)])
def test_without_a_length_one_of_the_greatest_size_may_be_cut(line: str, truncated: bool) -> None:
    (datagram,) = read(["(?P<payload>.*)"], line, limit=4)
    assert (datagram.payload, datagram.truncated) == (line[:4].encode(), truncated)


def test_the_length_is_that_of_the_payload_unless_it_is_told() -> None:
    (datagram,) = read(["(?P<payload>.*)"], "abc")
    assert (datagram.length, length_of(datagram)) == (None, 3)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("fe80::1%eth0", "fe80::1"),
        ("[FE80:0::1]", "fe80::1"),
        ("[fe80::1%3]", "fe80::1"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_addresses_are_in_their_canonical_form(text: str, address: str) -> None:
    assert [one.source for one in read(["^(?P<source>.*)$"], text)] == [(address, 0)]
    assert [one.destination for one in read(["^(?P<group>.*)$"], text)] == [address]


def test_interfaces_are_told_by_name_or_number() -> None:
    assert [one.interface_index for one in read(["(?P<interface>.+)"], "eth0")] == [7]
    assert [one.interface_index for one in read(["(?P<index>.+)"], "12")] == [12]


@pytest.mark.parametrize(
    ("pattern", "line", "why"),
    [
        ("(?P<source>.*)", "10.0.0", "'10.0.0' does not appear to be an IPv4 or IPv6 address"),
        ("(?P<group>.*)", "", "'' does not appear to be an IPv4 or IPv6 address"),
        ("(?P<source_port>.*)", "x", "invalid literal for int() with base 10: 'x'"),
        ("(?P<length>.*)", "1.5", "invalid literal for int() with base 10: '1.5'"),
        ("(?P<payload_hex>.*)", "abc", "non-hexadecimal number found in fromhex() arg at position 3"),
        ("(?P<payload_base64>.*)", "AA", "no base64: Incorrect padding"),
        ("(?P<payload_base64>.*)", "AA!=", "no base64: Only base64 data is allowed"),
        ("(?P<interface>.*)", "eth1", "\"the host has no interface 'eth1', only lo, eth0\""),
    ],
)
def test_a_record_that_is_none_is_shown(pattern: str, line: str, why: str) -> None:
    with pytest.raises(CoreFailure) as info:
        read([f"^{pattern}$"], line)
    assert info.value.kind == "rubbish"
    if "fromhex" in why:  # which each Python says in other words
        assert str(info.value).endswith(f": {line!r}")
    else:
        assert str(info.value) == f"it printed a record that is none ({why.strip(chr(34))}): {line!r}"


def test_a_record_that_lacks_a_line_is_shown() -> None:
    with pytest.raises(CoreFailure) as info:
        read(["^a", "^b", "^c"], "a 1", "b 1", "a 2")
    assert str(info.value) == "it printed a record that is none (line 3 of the record before is missing): 'a 2'"


def test_of_a_long_line_the_beginning_is_shown() -> None:
    with pytest.raises(CoreFailure) as info:
        read(["(?P<source>.*)"], "x" * 1000)
    assert str(info.value).endswith(f": '{'x' * 200}...'")
