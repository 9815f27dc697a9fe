"""The conformance suite as people run it: by name, for their core."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..conftest import Runner

CORE = """
    from pytest_mcast.cores import BuiltInCore, ExpectedFailure

    class Mine(BuiltInCore):
        name = "mine"
        version = "1.2"
        {more}
"""
# What it delivers it has thrown a look at: another payload is a fault of its own.
ALTERS = """
    import dataclasses

    from pytest_mcast.cores import BuiltInCore, ExpectedFailure
    from pytest_mcast.cores.builtin import BuiltInReceiver

    class Receiver(BuiltInReceiver):
        def recv(self, timeout=None):
            datagram = super().recv(timeout)
            return dataclasses.replace(datagram, ttl=64) if datagram.ttl == 255 else datagram

    class Mine(BuiltInCore):
        name = "mine"
        version = "1.2"
        {more}

        def open(self, channel, host, *, interface=None, timeout=5.0):
            return Receiver(host.receiver(channel, timeout=timeout))
"""


def _run(run: Runner, *options: str, core: str = "") -> tuple[int, str]:
    if core:
        run.write(core, "my_core.py")
        options = ("--mcast-core=my_core:Mine", *options)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--pyargs",
        "pytest_mcast.conformance",
        "-p",
        "no:cacheprovider",
        "--mcast-lab",
    ]
    command += ["-o", "pythonpath=."]  # under tox the working directory is not on the path
    result = run([*command, "-W", "error", "--strict-markers", "-rsxXfE", *options], timeout=110)
    return result.returncode, result.stdout + result.stderr


def test_a_case_is_chosen_by_its_id(home: Runner) -> None:
    code, output = _run(home, "-k", "ssm.wrong-source-ipv4-ssm")
    assert code == 0, output
    assert "1 passed" in output
    assert "builtin" in output.partition("multicast conformance")[2]


def test_cases_are_chosen_by_family_mode_level_and_rfc(home: Runner) -> None:
    code, output = _run(home, "-m", "ipv6 and ssm and must and rfc4607", "--collect-only", "-q")
    assert code == 0, output
    cases = [line for line in output.splitlines() if "::test_case[" in line]
    assert "ssm.wrong-source-ipv6-ssm" in "\n".join(cases)
    assert all("-ipv6-ssm]" in line for line in cases)


def test_a_failure_says_what_was_sent_and_who_asks_for_what(home: Runner) -> None:
    code, output = _run(home, "-k", "ipv4.ttl-255-ipv4-asm", core=ALTERS.format(more=""))
    assert code == 1, output
    assert "delivered otherwise than it was sent: TTL 64 instead of 255" in output
    assert "ipv4.ttl-255 (" in output
    assert "  0000  01 00 5e" in output  # the frame
    assert "Traceback" not in output


def test_a_known_finding_is_an_expected_failure(home: Runner) -> None:
    more = 'expected_failures = (ExpectedFailure("ipv4.ttl-255", "it has no 255", ">=1,<2"),)'
    code, output = _run(home, "-k", "ipv4.ttl-255", core=ALTERS.format(more=more))
    assert code == 0, output
    assert "2 xfailed" in output
    assert "known: it has no 255: delivered otherwise" in output
    assert "known finding" in output.partition("multicast conformance")[2]


def test_a_known_finding_that_passes_is_told(home: Runner) -> None:
    more = 'expected_failures = (ExpectedFailure("ipv4.ttl-255", "it has no 255", ">=1,<2"),)'
    code, output = _run(home, "-k", "ipv4.ttl-255", core=CORE.format(more=more))
    assert code == 1, output
    assert "it passed, where a finding is known (it has no 255): is it repaired?" in output


def test_what_a_core_does_not_tell_is_unsupported(home: Runner, tmp_path: Path) -> None:
    more = "capabilities = __import__('pytest_mcast.cores').cores.Capabilities(fields=frozenset({'source'}))"
    home.write("")
    code, output = _run(home, "-k", "ssm.wrong-source-ipv4", "--mcast-report=record.json", core=CORE.format(more=more))
    assert code == 0, output
    assert "unsupported: it does not tell the payload of a datagram" in output
    record = json.loads((home.home / "record.json").read_text())
    assert [cell["outcome"] for cell in record["cells"]] == ["unsupported"]


def test_the_record_has_core_cases_and_evidence(run: Runner) -> None:
    workers = ["-n1"] if run.ordinary else []  # either with everything else
    code, output = _run(run, "-k", "ssm.wrong-source-ipv", "--mcast-report=record.json", *workers)
    assert code == 0, output
    record = json.loads((run.home / "record.json").read_text())
    assert set(record["subjects"]) == {"builtin"}
    assert record["features"]["ssm.wrong-source"]["reference"].startswith("MUST: RFC 4607")
    keys = [(cell["key"]["case"], cell["key"]["family"], cell["key"]["receiver"]) for cell in record["cells"]]
    assert keys == [("ssm.wrong-source", family, "builtin") for family in ("ipv4", "ipv6")]
    assert all(cell["outcome"] == "pass" and cell["evidence"] for cell in record["cells"])
    document = run([sys.executable, "-m", "pytest_mcast", "report", "conformance", "record.json"])
    assert document.returncode == 0, document.stderr
    assert "| ssm.wrong-source " in document.stdout


def test_recommendations_fail_only_when_asked(home: Runner) -> None:
    no_zero = ALTERS.format(more="").replace("datagram.ttl == 255", "datagram.ttl == 0")
    code, output = _run(home, "-m", "should", core=no_zero)
    assert code == 0, output
    assert "SHOULD: " in output
    assert "SHOULD not met" in output.partition("multicast conformance")[2]
    code, output = _run(home, "-m", "should", "--mcast-strict", core=no_zero)
    assert code == 1, output


def test_a_case_of_ones_own_is_in_the_suite(home: Runner) -> None:
    source = """
        from pytest_mcast.catalogue import ProbeCase, register
        from pytest_mcast.packets import deliver, udp

        register(ProbeCase("mine.one", "a case", "kernel", "nobody", "it is mine", probe=udp(ttl=3), expect=deliver()))
    """
    home.write(source, "conftest.py")
    code, output = _run(home, "-k", "mine.one")
    assert code == 0, output
    assert "4 passed" in output
    assert "mine" in output.partition("multicast conformance")[2]


def test_every_case_and_kind_is_a_test() -> None:
    from pytest_mcast.catalogue import matching
    from pytest_mcast.conformance.test_cases import parameters
    from pytest_mcast.cores.runner import KINDS

    assert [one.id for one in parameters()] == [f"{case.id}-{family}-{mode}" for case, family, mode in matching(KINDS)]


def test_the_document_has_every_case() -> None:
    from pytest_mcast.catalogue import describe_cases

    document = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    missing = [case for case, *_ in describe_cases() if f"| {case} |" not in document]
    assert not missing, "tox -e cores -- --write"
