"""``pytest-mcast cores``: tables, and exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_mcast.cores import shipped_cores, shipped_senders
from pytest_mcast.cores.behaviours import BEHAVIOURS
from pytest_mcast.cores.sending import SENDING

from ..conftest import Runner
from ..cores.support import RECEIVE, described
from ..lab.test_private_network import TAKE_AWAY

MODULE = """
from pytest_mcast.cores import BuiltInCore, ExpectedFailure

class Mine(BuiltInCore):
    name = "mine"
    version = "1.5"

class WrongTtl(Mine):
    def open(self, channel, host, **options):
        import dataclasses

        receiver = super().open(channel, host, **options)
        recv, receiver.number = receiver.recv, 0

        def wrong(timeout=None):
            receiver.number += 1
            datagram = recv(timeout)
            return dataclasses.replace(datagram, ttl=3) if datagram.ttl == 7 else datagram

        receiver.recv = wrong
        return receiver

class Known(WrongTtl):
    expected_failures = [ExpectedFailure("metadata.ttl", "it tells three", "<2")]

class Fixed(Mine):
    expected_failures = Known.expected_failures

class Newer(WrongTtl):
    version = "2.0"
    expected_failures = Known.expected_failures

class Deaf(Mine):
    def open(self, channel, host, **options):
        receiver = super().open(channel, host, **options)
        receiver.leave()
        recv = receiver.recv
        receiver.recv = lambda timeout=None: recv(0.1)  # it is in vain
        return receiver
"""


def cores(run: Runner, *arguments: str) -> subprocess.CompletedProcess[str]:
    (run.home / "my_cores.py").write_text(MODULE)
    path = ["env", f"PYTHONPATH={run.home}"]
    return run([*path, sys.executable, "-m", "pytest_mcast", "cores", *arguments])


def test_what_is_as_it_is_known_is_exit_code_0(run: Runner) -> None:
    result = cores(run, "builtin", "naive", "-k", "*.group*")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:] == [
        "self-check",
        "filter.group",
        "several.groups",
    ]
    assert any(line.startswith("| filter.group") and "| yes" in line and "| no (1)" in line for line in lines)
    assert lines[-1] == "16 passed, 8 failed as is known, 0 not as is known, 0 absent"
    assert result.stderr == "builtin ...\nnaive ...\n"


def test_a_known_failure_of_this_version_is_exit_code_0(tmp_path_factory: pytest.TempPathFactory) -> None:
    result = cores(Runner(tmp_path_factory.mktemp("home")), "my_cores:Known", "-k", "metadata.ttl")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (
        "1. mine, metadata.ttl, known, versions \\<2: it tells three. Measured: it tells that the TTL is 3; it is 7"
        in (result.stdout)
    )


@pytest.mark.parametrize(
    ("core", "text"),
    [
        ("WrongTtl", "not known: mine 1.5, metadata.ttl, ipv4-asm: fail\nit tells that the TTL is 3; it is 7\n"),
        ("Newer", "not known: mine 2.0, metadata.ttl, ipv4-asm: fail\nit tells that the TTL is 3; it is 7\n"),
        ("Fixed", "not known: mine 1.5, metadata.ttl, ipv4-asm: pass, where a failure is known (it tells three)\n"),
        ("Deaf", "not known: mine 1.5, metadata.ttl, ipv4-asm: error\nit did not pass its self-check\n"),
    ],
    ids=["new failure", "failure of another version", "unexpected pass", "not to be believed"],
)
def test_what_is_not_as_it_is_known_is_exit_code_1(home: Runner, core: str, text: str) -> None:
    result = cores(home, f"my_cores:{core}", "-k", "metadata.ttl")
    assert result.returncode == 1, result.stdout + result.stderr
    assert text in result.stdout
    assert result.stdout.endswith(f"{8 if core == 'Deaf' else 4} not as is known, 0 absent\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["bultin"], "there is no receive core 'bultin'; did you mean 'builtin'? there are builtin, "),
        (["none.yaml"], "cannot read the description none.yaml: No such file or directory"),
        (["bad.yaml"], "bad.yaml:1:1: the file lacks the key 'kind'"),
        (["my_cores:Nobody"], "receive core 'my_cores:Nobody': there is no 'Nobody' in it; there is "),
        (["builtin", "-k", "several.group"], "-k 'several.group' fits no behaviour; there are delivery.one, "),
        (["builtin", "-k", "send.*"], "-k 'send.*' fits no behaviour; there are delivery.one, "),
        (["builtin", "--write", "none/cores.md"], "--write 'none/cores.md': there is no such directory"),
        (["builtin", "-k", "delivery.one", "--write", "directory"], "--write 'directory': Is a directory"),
    ],
)
def test_what_is_not_there_is_exit_code_2(home: Runner, arguments: list[str], text: str) -> None:
    (home.home / "bad.yaml").write_text("name: x\n")
    (home.home / "directory").mkdir(exist_ok=True)
    result = cores(home, *arguments)
    assert result.returncode == 2, result.stdout + result.stderr
    assert f"pytest-mcast cores: {text}" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_namespaces_it_is_exit_code_4(run_as_user: Runner) -> None:
    take_away = [sys.executable, "-c", TAKE_AWAY, "max_net_namespaces"]
    result = run_as_user([*take_away, sys.executable, "-m", "pytest_mcast", "cores", "builtin"])
    assert result.returncode == 4, result.stdout + result.stderr
    assert "pytest-mcast cores: no virtual network: user.max_net_namespaces=0 forbids" in result.stderr


def test_the_list_needs_nothing(run_as_user: Runner) -> None:
    take_away = [sys.executable, "-c", TAKE_AWAY, "max_net_namespaces"]
    result = run_as_user([*take_away, sys.executable, "-m", "pytest_mcast", "cores", "--list"])
    assert result.returncode == 0, result.stderr
    receivers, senders, heading, *rest = result.stdout.splitlines()
    assert receivers == f"receivers: {', '.join(shipped_cores())}"
    assert senders == f"senders: {', '.join(['builtin', *shipped_senders()])}"
    assert heading == "behaviours:"
    assert [line.split()[0] for line in rest] == [*(one.id for one in BEHAVIOURS), *SENDING]


def test_without_names_there_are_all(home: Runner) -> None:
    result = cores(home, "-k", "delivery.one")
    heading = next(line for line in result.stdout.splitlines() if line.startswith("|"))
    assert [cell.split()[0] for cell in heading.split("|")[2:-1]] == list(shipped_cores())
    assert "(sender)" not in result.stderr  # the pattern leaves nothing to do for them
    result = cores(home, "-k", "send.ttl")
    assert "builtin (sender) ..." in result.stderr
    assert "| send.ttl | yes" in result.stdout


def test_the_tables_are_written(run: Runner) -> None:
    result = cores(run, "my_cores:Known", "-k", "metadata.*", "--write", "cores.md")
    assert result.returncode == 0, result.stdout + result.stderr
    text = (run.home / "cores.md").read_text()
    assert text.startswith("# What receive cores do\n")
    assert "| metadata.ttl         | no (1)   |" in text
    assert "\n1. mine, metadata.ttl, known, versions \\<2: it tells three. Measured: " in text
    assert text.endswith("`pytest-mcast cores my_cores:Known -k 'metadata.*' --write cores.md`.\n")


def test_a_program_that_is_not_there_is_told_and_a_failure_if_required(home: Runner) -> None:
    described(home.home, None, command=["no-such-program-4711"], install="install it")
    for more, code in (([], 0), (["--require"], 1)):
        result = cores(home, "small.yaml", "builtin", "-k", "delivery.one", *more)
        assert result.returncode == code, result.stdout + result.stderr
        assert "| delivery.one | absent (1) | yes " in result.stdout
        assert (
            "\nabsent: small: programs: there is no program 'no-such-program-4711' for small on PATH; install it\n"
            in (result.stdout)
        )
        assert result.stdout.endswith("8 passed, 0 failed as is known, 0 not as is known, 1 absent\n")


def test_programs_of_both_kinds_by_their_files(run: Runner) -> None:
    from ..cores.test_sender import COMMAND, SEND

    (run.home / "send").mkdir()
    described(run.home / "send", SEND, kind="sender", command=COMMAND, ready=None, datagram=None, name="sending")
    described(run.home, RECEIVE, version={"command": ["echo", "v3.1"], "pattern": r"v(?P<version>\S+)"})
    result = cores(run, "small.yaml", "send/small.yaml", "-k", "*.ttl")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert [line.replace(" ", "") for line in lines if "--" not in line] == [
        "||small3.1|",
        "|self-check|yes|",
        "|metadata.ttl|n/a|",
        "||sendingunknown|",
        "|send.ttl|yes|",
    ]
