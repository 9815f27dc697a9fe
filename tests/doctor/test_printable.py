"""What others have named gets to a terminal, and into a shell, as text."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

from pytest_mcast import Channel, LabView
from pytest_mcast.cli import main
from pytest_mcast.doctor import Changes, Check, End, Facts, Flow, Match, diagnose
from pytest_mcast.doctor.machine import judge
from pytest_mcast.doctor.machine_words import words
from pytest_mcast.doctor.party import facts_of
from pytest_mcast.doctor.printable import filled, in_shell, printable, wrapped
from pytest_mcast.evidence import Reading, Snapshot

HOSTILE = "e\x1b[31mX"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pl\u00e4in text", "pl\u00e4in text"),
        (HOSTILE, r"e\x1b[31mX"),
        ("a\x9bb\x07", r"a\x9bb\x07"),
        ("q\udcff$", r"q\xff$"),
        ("\u202egnp", r"\u202egnp"),
        ("x ##[error]pwn", "x ## [error]pwn"),
        ("##vso[task.x]", "## vso[task.x]"),
        ("::error file=a::pwn", ": :error file=a::pwn"),
        ("  ::stop-commands::x", "  : :stop-commands::x"),
        ("::1 and ff02::1", "::1 and ff02::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ],
)
def test_nothing_is_a_command_to_a_terminal_or_a_runner(text: str, said: str) -> None:
    assert printable(text) == said


def test_a_line_that_is_broken_is_no_command_either() -> None:
    assert wrapped("aaaaaaaaa ::error::pwn", 12) == ["aaaaaaaaa", ": :error::pwn"]
    assert wrapped("  kept\nin\tone", 80) == ["  kept in one"]


@pytest.mark.parametrize(
    "command", ["nft 'add rule  inet t c ip daddr 239.1.2.3 accept' && sysctl -w a=1; echo \"two  words\"", "true"]
)
@pytest.mark.parametrize("width", [12, 30, 60, 200])
def test_a_command_in_lines_is_the_same_command(command: str, width: int) -> None:
    lines = in_shell(command, width, 4)
    assert lines[0].startswith("    $ ")
    pasted = "\n".join([lines[0].removeprefix("    $ "), *lines[1:]])
    assert shlex.split(pasted.replace("\\\n", " ")) == shlex.split(command)
    done = subprocess.run(["sh", "-nc", pasted], check=False)
    assert done.returncode == 0
    assert [line.endswith(" \\") for line in lines] == [True] * (len(lines) - 1) + [False]


def test_values_are_words_of_a_shell() -> None:
    assert filled("ip link set {interface} up", {"interface": ";id;#"}) == "ip link set ';id;#' up"
    assert filled("{command}; a {route}", {"command": "a 'b'", "route": "b c"}) == "a 'b'; a b c"
    assert filled("x -Alias {name}", {"name": "it's"}, windows=True) == "x -Alias 'it''s'"


def _said(name: str) -> list[str]:
    check = Check("a", "sender", lambda _: [Match("certain", (name,), {"name": name})], "{name}", "", (), "", "code")
    end = End(name, Facts(Snapshot("linux", {})), Changes(None), name)
    return diagnose(Flow(Channel("239.1.2.3", 5000), sender=end), [check]).lines()


@pytest.mark.parametrize("name", [HOSTILE, "##[error]pwn", "::error::pwn", "q\udcff"])
def test_a_diagnosis_is_printable(name: str) -> None:
    said = _said(name)
    assert all(line.isprintable() for line in said)
    assert not re.search(r"##\[|^\s*::error", "\n".join(said), re.MULTILINE)
    "\n".join(said).encode("utf-8")


def test_a_machine_with_any_names_is_told_of(
    mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = mcast_lab.host("machine")
    names = [HOSTILE.encode(), b"##[error]x", b"q\xff$(id)", b";id;#"]
    with host:
        for name in names:
            for command in ([b"add", name, b"type", b"bridge"], [b"set", name, b"up"]):
                subprocess.run([b"ip", b"link", *command], check=True, timeout=10)
        monkeypatch.setattr("pytest_mcast.doctor.machine.try_private_network", lambda: None)
        assert main(["doctor", "--wait", "0"]) in (0, 1)
        facts = facts_of(host)
    said = capsys.readouterr()
    assert not said.err
    assert all(line.isprintable() for line in said.out.splitlines())
    assert r"q\xff$(id): bridge" in said.out
    assert r"e\x1b[31mX: bridge" in said.out
    assert "##[" not in said.out
    told = [line.text for line in words(judge(json.loads(json.dumps(facts.snapshot.to_json()))), 80)]
    assert all(line.isprintable() for line in told)
    refused = {name: reading.refused for name, reading in facts.snapshot.readings.items() if reading.refused}
    assert not {"memberships", "offloads", "links", "sysctl"} & refused.keys(), refused
    assert {each["interface"] for each in facts.memberships()} <= {each["name"] for each in facts.links()}
    assert facts.sysctl("net.ipv4.conf.q\udcff$(id).rp_filter")


def test_readings_that_are_refused_are_no_names() -> None:
    assert Facts(Snapshot("linux", {"place": Reading(refused="no /proc")})).place() is None
