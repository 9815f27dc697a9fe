"""``--mcast-report``: what a run leaves in its record, however it ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from pytest_mcast.report import Cell, File, Record, read
from pytest_mcast.report.store import schema

FILE = """
title: The title
hosts: {one: virtual, two: virtual}
matrix:
  family: [ipv4]
  mode: [asm]
"""
NAMES = ["one->one", "one->two", "two->one", "two->two"]
# What becomes of each cell is said by an environment variable, such as "one->two=skip".
CONFTEST = """
    import os
    import pytest
    from pytest_mcast.core.errors import NotReceived, NoVerdict

    FATE = dict(pair.split("=") for pair in os.environ["FATE"].split())

    @pytest.fixture(autouse=True)
    def of_the_users(request):
        what = FATE.get(request.node.name[9:-1], "")
        first = False
        if what.endswith("once"):
            first = not os.path.exists(what)
            open(what, "w").close()
        if what == "skip":
            pytest.skip("for a reason of the user's")
        if what == "known":
            pytest.xfail("since last week")
        if what.startswith("break"):
            raise RuntimeError("set-up is broken\\nand how")
        if what == "crash" or (what == "crash-once" and first):
            os._exit(3)
        if what == "unproved" or (what.startswith("lose") and (first or "once" not in what)):
            def run(*args, **options):
                raise NoVerdict("no control") if what == "unproved" else NotReceived("lost\\nand how")
            request.getfixturevalue("monkeypatch").setattr("pytest_mcast.scenarios.run", run)
        yield
        if "tear-down" in what:
            raise RuntimeError("tear-down is broken")

    def pytest_collection_modifyitems(items):
        for item in items:
            what = FATE.get(item.name[9:-1])
            if what and (what.endswith("expected") or what == "strict"):
                item.add_marker(pytest.mark.xfail(reason="known", strict=what == "strict"))
            if what == "never":
                item.add_marker(pytest.mark.xfail(reason="hangs", run=False))
"""


@pytest.fixture
def scenario(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATE", "")
    path = pytester.path / "a.mcast.yaml"
    path.write_text(FILE)
    pytester.makeconftest(CONFTEST)
    return path


def _record(pytester: pytest.Pytester, *arguments: str, fate: str = "") -> Record:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATE", fate)
        pytester.runpytest_subprocess("--mcast-report=out.json", "--mcast-timeout=0.2", "-p", "no:randomly", *arguments)
    path = pytester.path / "out.json"
    jsonschema.Draft202012Validator(schema()).validate(json.loads(path.read_bytes()))
    assert not [name for name in os.listdir(pytester.path) if name.startswith(".pytest-mcast")]
    return read(path)


def _cells(record: Record) -> dict[str, Cell]:
    return {f"{cell.key['sender']}->{cell.key['receiver']}": cell for cell in record.cells}


def _outcomes(record: Record) -> list[str]:
    cells = _cells(record)
    return [cells[name].outcome for name in NAMES if name in cells]


WAYS = pytest.mark.parametrize("way", [(), ("-n2",)], ids=["plain", "xdist"])
ONE_BY_ONE = pytest.mark.parametrize("way", [(), ("-n1",)], ids=["plain", "xdist"])


@WAYS
def test_a_run_and_its_cells(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    record = _record(pytester, "--mcast-require=all", *way)
    assert record.runs[0].exit_code == 0
    assert record.runs[0].command[:2] == ("pytest", record.runs[0].command[1])
    assert "--mcast-report=out.json" in record.runs[0].command
    assert record.runs[0].duration_s > 0
    assert record.files == {"a.mcast.yaml": File("The title")}
    assert record.runs[0].environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record.runs[0].environment["pytest"] == pytest.__version__
    assert record.runs[0].environment["privilege"] == ("rootless" if os.geteuid() else "root")
    assert record.runs[0].environment["place"] == "a virtual network"
    assert list(_cells(record)) == NAMES
    for name, cell in _cells(record).items():
        sender, _, receiver = name.partition("->")
        assert cell.key == {
            "file": "a.mcast.yaml",
            "sender": sender,
            "receiver": receiver,
            "family": "ipv4",
            "mode": "asm",
        }
        assert (cell.outcome, cell.expectation, cell.reason, cell.attempts) == ("pass", "pass", "", 1)
        assert cell.nodeid == f"a.mcast.yaml::ipv4-asm[{name}]"
        assert cell.duration_s > 0


def test_every_run_has_an_id_of_its_own(pytester: pytest.Pytester, scenario: Path) -> None:
    first, second = (_record(pytester).runs[0].id for _ in range(2))
    assert first != second


def test_the_private_network_is_the_place(pytester: pytest.Pytester, scenario: Path) -> None:
    for way in ((), ("-n1",)):
        assert _record(pytester, "--mcast-lab", *way).runs[0].environment["place"] == "a private network"


@WAYS
def test_failures_skips_and_errors(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    fate = "one->one=lose one->two=skip two->one=break two->two=tear-down"
    record = _record(pytester, *way, fate=fate)
    assert record.runs[0].exit_code == 1
    assert _outcomes(record) == ["fail", "skipped", "error", "error"]
    reasons = [cell.reason for cell in _cells(record).values()]
    assert reasons == [
        "NotReceived: lost",
        "for a reason of the user's",
        "setup: RuntimeError: set-up is broken",
        "teardown: RuntimeError: tear-down is broken",
    ]
    assert {cell.attempts for cell in record.cells} == {1}


@WAYS
def test_the_first_failure_counts(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    cell = _cells(_record(pytester, *way, fate="one->one=lose-tear-down"))["one->one"]
    assert (cell.outcome, cell.reason) == ("fail", "NotReceived: lost")


@WAYS
def test_expected_failures_keep_their_outcome(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    fate = "one->one=lose-expected one->two=pass-unexpected two->one=strict two->two=never"
    record = _record(pytester, *way, fate=fate)
    assert _outcomes(record) == ["fail", "pass", "pass", "not-run"]
    assert {cell.expectation for cell in record.cells} == {"fail"}
    reasons = [cell.reason for cell in _cells(record).values()]
    assert reasons == ["NotReceived: lost", "", "", "[NOTRUN] hangs"]
    assert [cell.expected_reason for cell in _cells(record).values()] == ["known", "known", "known", ""]


@WAYS
def test_an_expected_failure_elsewhere_than_in_the_cell(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]
) -> None:
    record = _record(pytester, *way, fate="one->one=known one->two=break-expected two->one=tear-down-expected")
    assert _outcomes(record) == ["not-run", "error", "error", "pass"]
    assert [cell.expectation for cell in _cells(record).values()] == ["fail", "fail", "fail", "pass"]
    reasons = [cell.reason for cell in _cells(record).values()]
    assert reasons[0] == "since last week"
    assert reasons[1] == "RuntimeError: set-up is broken"
    assert _cells(record)["one->two"].expected_reason == "known"


@WAYS
def test_what_was_left_out_is_not_in_the_record(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]
) -> None:
    assert list(_cells(_record(pytester, "-k", "ipv4-asm[two", *way))) == ["two->one", "two->two"]
    assert list(_cells(_record(pytester, "a.mcast.yaml::ipv4-asm[one->two]", *way))) == ["one->two"]
    assert not _record(pytester, "-m", "not mcast", *way).cells


@ONE_BY_ONE
def test_what_was_not_reached_is_not_run(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    record = _record(pytester, "-x", *way, fate="one->one=break")
    assert _outcomes(record)[0] == "error"
    assert "not-run" in _outcomes(record)
    left = _cells(record)["two->two"]
    assert (left.outcome, left.attempts, left.reason) == ("not-run", 0, "the run did not get to it")
    assert record.runs[0].exit_code


def test_collect_only_records_what_there_is_to_run(pytester: pytest.Pytester, scenario: Path) -> None:
    for way in ((), ("-n2",)):
        record = _record(pytester, "--collect-only", *way)
        assert _outcomes(record) == ["not-run"] * 4
        assert record.runs[0].exit_code == 0


@WAYS
def test_reruns_are_attempts(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    record = _record(pytester, "--reruns=1", *way, fate="one->one=lose-once one->two=lose two->one=break")
    assert _outcomes(record) == ["pass", "fail", "error", "pass"]
    cells = _cells(record)
    assert [cells[name].attempts for name in NAMES] == [2, 2, 2, 1]
    assert cells["one->one"].reason == "attempt 1: fail: NotReceived: lost"
    assert cells["two->one"].reason == (
        "setup: RuntimeError: set-up is broken; attempt 1: error: setup: RuntimeError: set-up is broken"
    )


def test_a_crashed_worker_is_an_error_and_its_replacement_goes_on(pytester: pytest.Pytester, scenario: Path) -> None:
    record = _record(pytester, "-n1", fate="one->two=crash")
    assert _outcomes(record) == ["pass", "error", "pass", "pass"]
    cell = _cells(record)["one->two"]
    assert (cell.reason, cell.attempts) == ("worker gw0 crashed", 1)


def test_a_crash_of_the_first_cell_without_replacement(pytester: pytest.Pytester, scenario: Path) -> None:
    record = _record(pytester, "-n1", "--max-worker-restart=0", fate="one->one=crash")
    assert _outcomes(record) == ["error", "not-run", "not-run", "not-run"]


def test_a_crash_and_a_rerun(pytester: pytest.Pytester, scenario: Path) -> None:
    record = _record(pytester, "-n1", "--reruns=1", fate="one->two=crash-once two->one=crash")
    assert _outcomes(record) == ["pass", "pass", "error", "pass"]
    cells = _cells(record)
    assert (cells["one->two"].attempts, cells["two->one"].attempts) == (2, 2)
    assert cells["one->two"].reason == "attempt 1: error: worker gw0 crashed"


def test_the_tables_are_a_view_of_the_record(pytester: pytest.Pytester, scenario: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATE", "one->two=crash")
        result = pytester.runpytest_subprocess("-n1", "--max-worker-restart=0", "-p", "no:randomly")
    result.stdout.fnmatch_lines(
        [
            "The title (a.mcast.yaml)",
            "",
            "  ipv4-asm  to one   to two",
            "  from one  pass     error",
            "  from two  not-run  not-run",
        ]
    )


@WAYS
def test_evidence_and_a_proof_without_a_verdict(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]
) -> None:
    record = _record(pytester, *way, fate="one->two=unproved two->one=lose")
    assert _outcomes(record) == ["pass", "error", "fail", "pass"]
    cells = _cells(record)
    assert cells["one->two"].reason == "NoVerdict: no control"
    assert cells["one->one"].evidence[0].startswith("3 datagrams delivered in order")
    assert cells["two->one"].evidence == ()


def test_without_scenario_files_the_record_is_empty(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(mcast_lab): pass")
    for way in ((), ("-n2",)):
        record = _record(pytester, *way)
        assert record.cells == ()
        assert record.runs[0].environment["place"] == "a virtual network"


def test_xdist_is_not_needed(pytester: pytest.Pytester, scenario: Path) -> None:
    assert _outcomes(_record(pytester, "-p", "no:xdist", "-p", "no:rerunfailures")) == ["pass"] * 4


def test_settings_and_what_a_path_is_relative_to(
    pytester: pytest.Pytester, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = pytester.mkdir("below")
    pytester.makeini("[pytest]\nmcast_report = ini.json\n")
    monkeypatch.chdir(below)
    with monkeypatch.context() as patch:
        result = pytester.runpytest_subprocess("..")
        result.stdout.fnmatch_lines([f"mcast: report {pytester.path}/ini.json (mcast_report in tox.ini)"])
        pytester.runpytest_subprocess("..", "-o", "mcast_report=override.json")
        patch.setenv("PYTEST_MCAST_REPORT", "environment.json")
        patch.setenv("HOME", str(below))
        pytester.runpytest_subprocess("..")
        pytester.runpytest_subprocess("..", "--mcast-report", "~/option.json")
    for path in (
        pytester.path / "ini.json",
        below / "override.json",
        below / "environment.json",
        below / "option.json",
    ):
        assert len(read(path).cells) == 4, path


def test_listing_fixtures_keeps_the_record_of_before(pytester: pytest.Pytester, scenario: Path) -> None:
    before = _record(pytester)
    for option in ("--fixtures", "--markers", "--help", "--version"):
        assert pytester.runpytest_subprocess("--mcast-report=out.json", option).ret == 0
    assert read(pytester.path / "out.json") == before


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/out.json", "there is no directory {home}/missing"),
        ("directory", "it is a directory"),
        ("a.mcast.yaml/out.json", "there is no directory {home}/a.mcast.yaml"),
        ("pipe", "it is not a regular file"),
        ("link", "there is no directory {home}/missing"),
        ("locked/out.json", "Permission denied"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_that_cannot_be_written_is_a_usage_error(
    pytester: pytest.Pytester, scenario: Path, path: str, reason: str
) -> None:
    if path.startswith("locked") and not os.geteuid():
        pytest.skip("root may write anywhere")
    pytester.mkdir("directory")
    os.mkfifo("pipe")
    os.symlink("missing/out.json", "link")
    os.mkdir("locked", mode=0o500)
    for way in ((), ("-n2",)):
        result = pytester.runpytest_subprocess(f"--mcast-report={path}", *way)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        text = f"--mcast-report: cannot write '{pytester.path}/{path}': {reason.format(home=pytester.path)}; name a *"
        result.stderr.fnmatch_lines([f"ERROR: {text}"])
        result.stdout.no_fnmatch_line("*passed*")
    result = pytester.runpytest_subprocess("--mcast-report=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --mcast-report: '' is not the path of a file"])


@WAYS
def test_a_record_that_is_lost_fails_the_run(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    pytester.makeconftest("""
        import shutil

        def pytest_runtest_logreport(report):
            shutil.rmtree("out", ignore_errors=True)
    """)
    pytester.mkdir("out")
    result = pytester.runpytest_subprocess("--mcast-report=out/out.json", *way)
    result.assert_outcomes(passed=4)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(
        [f"mcast: --mcast-report: cannot write {pytester.path}/out/out.json: No such file or directory"]
    )


# A cell that is to block says that it has begun, then waits for the other end of a pipe to be closed. Each time the
# journal has been written that is told as well; the record itself is not written again. All processes hold their ends
# until they are gone.
BLOCKING = """
    import os
    import pytest
    from pytest_mcast.report import writer
    from pytest_mcast.report.journal import Journal

    BEGAN, WROTE = (os.open(name, os.O_WRONLY) for name in ("BEGAN", "WROTE"))
    HOLD = os.open("HOLD", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(HOLD, True)
    writer._INTERVAL, writer._CREDIT, writer._SHARE = 1e6, 0.0, 0.0
    original = Journal.add

    def add(self, *arguments):
        original(self, *arguments)
        os.write(WROTE, b"w")

    Journal.add = add

    @pytest.fixture(autouse=True)
    def of_the_users(request):
        if request.node.name in os.environ["BLOCKED"].split():
            os.write(BEGAN, b"b")
            os.read(HOLD, 1)
"""


def _wait(descriptor: int) -> bool:
    """Wait for a byte; return False when there will be none."""
    ready, _, _ = select.select([descriptor], [], [], 60)
    assert ready, "nothing came within a minute"
    return bool(os.read(descriptor, 1))


@pytest.mark.parametrize(
    ("way", "blocked"),
    [((), "two->one"), (("-n2", "--maxschedchunk=1"), "one->two two->one")],
    ids=["plain", "xdist"],
)
def test_kill_of_the_controller_loses_nothing_that_has_finished(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...], blocked: str
) -> None:
    pytester.makeconftest(BLOCKING)
    for name in ("BEGAN", "HOLD", "WROTE"):
        os.mkfifo(name)
    began, wrote = (os.open(name, os.O_RDONLY | os.O_NONBLOCK) for name in ("BEGAN", "WROTE"))
    hold = os.open("HOLD", os.O_RDWR)
    path = pytester.path / "out.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", f"--mcast-report={path}", *way],
        env={**os.environ, "BLOCKED": " ".join(f"ipv4-asm[{name}]" for name in blocked.split())},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in blocked.split():
            assert _wait(began)
        while way and _outcomes(read(path))[:1] != [
            "pass"
        ]:  # without xdist it has finished before the next cell begins
            assert _wait(wrote)
    finally:
        process.kill()
        process.wait()
        os.close(hold)
        while _wait(began):  # until the workers have gone as well
            pass
        os.close(began)
        os.close(wrote)
    assert {cell["outcome"] for cell in json.loads(path.read_bytes())["cells"]} <= {"not-run"}
    record = read(path)
    assert record.runs[0].exit_code is None
    finished = [name for name in NAMES[:3] if name not in blocked.split()]
    assert [name for name, cell in _cells(record).items() if cell.outcome == "pass"] == finished
    assert {cell.outcome for cell in record.cells} <= {"pass", "not-run"}
    assert not [name for name in os.listdir(pytester.path) if name.startswith(".pytest-mcast")]
