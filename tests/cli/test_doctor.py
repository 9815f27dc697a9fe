"""``pytest-mcast doctor`` as users start it: root, an ordinary user, in a private network, on a terminal."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from pytest_mcast import LabView
from pytest_mcast.cli import main
from tests.conftest import Runner
from tests.support.terminal import Terminal

MAIN = [sys.executable, "-m", "pytest_mcast"]
DOCTOR = [*MAIN, "doctor"]
# A network of its own, so that the machine's own does not matter, and nothing is waited for on it.
PRIVATE = [*MAIN, "run", "--", *DOCTOR, "--wait", "0"]
_LINK = {
    "index": 1,
    "name": "lo",
    "kind": "",
    "flags": ["up", "loopback"],
    "mtu": 65536,
    "carrier": True,
    "master": None,
}
_READINGS = {
    "machine": {"system": "Linux", "release": "6", "machine": "x86_64", "python": "3.11"},
    "links": [_LINK],
    "addresses": [{"index": 1, "family": "ipv4", "address": "127.0.0.1", "prefix": 8, "scope": "host", "flags": []}],
    "queriers": {"proof": False, "waited_s": 0, "interfaces": {}},
    "tried": {"interface": "lo", "capabilities": {"ipv4-asm": None}},
    "firewall": [],
    "settings": {"open files": [1024, 4096]},
}
COLOUR = re.compile("\033\\[[0-9;]*m")


def test_everything_works_in_a_private_network(run: Runner) -> None:
    done = run([*PRIVATE, "--iface", "eth0"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "all capabilities are there; nothing wrong was found" in done.stdout
    assert "  ipv6-ssm    yes\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_what_is_missing_decides_the_exit_code(run: Runner) -> None:
    alone = "ip -6 route flush ff00::/8 table local; exec "
    command = [*MAIN, "run", "--", "sh", "-ec", alone + " ".join([*DOCTOR, "--wait", "0", '"$@"']), "sh"]
    done = run(command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 of 7 capabilities are missing" in done.stdout
    assert "  ipv6-ssm    NO: as ipv6-asm\n" in done.stdout
    assert "nothing else was found" in done.stdout
    assert run([*command, "--require", "ipv4-asm,ipv4-ssm"]).returncode == 0
    assert run([*command, "--require", "ipv4-asm,ipv6-ssm"]).returncode == 1


def test_a_document_gives_the_same_report_elsewhere(run: Runner) -> None:
    printed = run([*PRIVATE, "--iface", "eth0", "--json"])
    assert printed.returncode == 0, printed.stdout + printed.stderr
    document = json.loads(printed.stdout)
    assert (document["document"], document["format"]) == ("pytest-mcast doctor", 1)
    assert set(document["verdicts"].values()) == {None}
    run.write(printed.stdout, "report.json")
    again = run([*DOCTOR, "--from", "report.json", "--json"])
    assert (again.returncode, again.stdout) == (0, printed.stdout)
    shown = run([*DOCTOR, "--from", "report.json"])
    assert "all capabilities are there" in shown.stdout


def test_a_damaged_document_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readings = {name: {"value": value} for name, value in _READINGS.items()}
    whole = {"system": "linux", "readings": readings}
    damaged: list[str] = [
        "[" * 100_000,
        '{"snapshot": {"system": "linux", "readings": {"links": {"value": [{"name": 7}]}}}}',
    ]
    wrong: tuple[object, ...] = ([{"name": 7}], 7, {"interface": []}, "text")
    damaged += [
        json.dumps({**whole, "readings": {**readings, name: {"value": value}}}) for name in readings for value in wrong
    ]
    file = tmp_path / "damaged.json"
    codes = set()
    for text in damaged:
        file.write_text(text)
        codes.add(main(["doctor", "--from", str(file)]))
        said = capsys.readouterr().err
        assert said.count("\n") <= 1, said
        assert said.startswith("pytest-mcast doctor: --from: ") or not said
    assert 2 in codes


def test_who_reads_no_more_is_no_error(run: Runner) -> None:
    command = " ".join([*DOCTOR, "--iface", "lo", "--wait", "0"])
    done = run(["sh", "-c", f"{{ {command}; echo code $? >&2; }} | true"])
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
    assert re.search(r"^code (141|[01])$", done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--iface", "nosuch0"], "--iface: no interface is named 'nosuch0'"),
        (["--require", "ipv5"], "'ipv5' is none of: all, ipv4-asm,"),
        (["--wait", "-1"], "is no number of seconds, 0 or more"),
        (["--from", "nosuch.json"], "--from: [Errno 2] No such file or directory: 'nosuch.json'"),
        (["--from", "other.json"], "--from: it is no document of pytest-mcast doctor --json"),
        (["--from", "list.json"], "--from: it is no document of pytest-mcast doctor --json"),
        (["--from", "text.json"], "--from: Expecting value"),
        (["--from", "newer.json"], "--from: its format is 2, and this version reads 1 only"),
    ],
)
def test_wrong_usage(home: Runner, options: list[str], said: str) -> None:
    home.write('{"a": 1}', "other.json")
    home.write("[1]", "list.json")
    home.write("no JSON", "text.json")
    home.write('{"format": 2}', "newer.json")
    done = home([*DOCTOR, *options])
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr


def test_who_may_not_hear_queries_is_told(run_as_user: Runner, mcast_lab: LabView) -> None:
    host = mcast_lab.host("machine", interfaces={"eth0": mcast_lab.link("ours")})
    program = host.popen([*run_as_user.prefix, *DOCTOR, "--wait", "0", "--iface", "eth0"], directory=run_as_user.home)
    assert program.wait(60) == 1, program.stderr  # it takes a second of a processor that others may have
    said = " ".join(" ".join(program.stdout).split())
    assert "not read: queriers: hearing queries takes CAP_NET_RAW (Operation not permitted): run as root" in said
    assert "not read: firewall: " in said
    assert "not checked" not in said  # it is said above what could not be read
    assert "ipv4-asm yes" in said
    assert "namespaces NO: " in said


@pytest.mark.parametrize(
    ("options", "variables", "coloured"),
    [
        ([], [], True),
        ([], ["NO_COLOR=1"], False),
        ([], ["TERM=dumb"], False),
        (["--color", "never"], [], False),
        (["--color", "always"], ["NO_COLOR=1"], True),
    ],
)
def test_colours_are_for_terminals(tmp_path: Path, options: list[str], variables: list[str], coloured: bool) -> None:
    document = {
        "system": "linux",
        "readings": {"tried": {"value": {"interface": "lo", "capabilities": {"packets": None}}}},
    }
    (tmp_path / "report.json").write_text(json.dumps(document))
    command = ["env", "TERM=xterm", *variables, *DOCTOR, "--from", "report.json", *options]
    with Terminal(command, tmp_path) as terminal:
        shown = terminal.expect(None)
    assert ("\033[32m  packets     yes\033[0m\n" in shown) == coloured
    assert "capabilities on lo\n  packets     yes\n" in COLOUR.sub("", shown)


def test_no_colours_for_files(home: Runner) -> None:
    home.write('{"system": "linux", "readings": {}}', "report.json")
    assert "\033" not in home([*DOCTOR, "--from", "report.json"]).stdout
