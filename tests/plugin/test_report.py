"""``--mcast-report``: what a run leaves in its record, however it ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

from pytest_mcast.report import Cell, Record, read
from pytest_mcast.report.store import schema

from ..support.pytests import run_here

FILE = """
title: The title
hosts: {one: virtual, two: virtual}
matrix:
  family: [ipv4]
  mode: [asm]
"""
NAMES = ["one->one", "one->two", "two->one", "two->two"]
# What becomes of a cell is the name of its receiver; of "one" and "two" nothing but what is to be.
CONFTEST = """
    import os
    import pytest
    from pytest_mcast.core.errors import NotReceived, NoVerdict

    @pytest.fixture(autouse=True)
    def of_the_users(request):
        what = request.node.cell.receiver.host
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
            # The controller answers when it has read how often this is to be run again; the end may overtake that.
            request.config.failures_db.get_test_failures("")
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
            what = item.cell.receiver.host
            if what.endswith("expected") or what == "strict":
                item.add_marker(pytest.mark.xfail(reason="known", strict=what == "strict"))
            if what == "never":
                item.add_marker(pytest.mark.xfail(reason="hangs", run=False))
"""
# Outcome, expectation, why that, and the reason, by what becomes of a cell.
FATES = {
    "pass": ("pass", "pass", "", ""),
    "lose": ("fail", "pass", "", "lost"),
    "skip": ("skipped", "pass", "", "for a reason of the user's"),
    "unproved": ("error", "pass", "", "no control"),
    "break": ("error", "pass", "", "setup: RuntimeError: set-up is broken"),
    "tear-down": ("error", "pass", "", "teardown: RuntimeError: tear-down is broken"),
    "lose-tear-down": ("fail", "pass", "", "lost"),  # the first failure counts
    "lose-expected": ("fail", "fail", "known", "lost"),
    "pass-unexpected": ("pass", "fail", "known", ""),
    "strict": ("pass", "fail", "known", ""),
    "never": ("not-run", "fail", "", "[NOTRUN] hangs"),
    "known": ("not-run", "fail", "", "since last week"),
    "break-expected": ("error", "fail", "known", "RuntimeError: set-up is broken"),
    "tear-down-expected": ("error", "fail", "known", "RuntimeError: tear-down is broken"),
}
# Of the receiver "last".
DECLARED = """
notes: Of the file
rules:
  - {cells: {receiver: last}, expect: fail, reason: by chance, sometimes: true, notes: a note}
"""


@pytest.fixture
def scenario(pytester: pytest.Pytester) -> Path:
    path = pytester.path / "a.mcast.yaml"
    path.write_text(FILE)
    pytester.makeconftest(CONFTEST)
    return path


def _run(pytester: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, Record]:
    options = ("--mcast-report=out.json", "--mcast-timeout=0.2", *arguments)
    if {"-n1", "-n2", "--mcast-lab", "--reruns=1"}.isdisjoint(arguments):
        result = run_here(pytester, *options)
    else:
        result = pytester.runpytest_subprocess(*options, "-p", "no:randomly")
    path = pytester.path / "out.json"
    jsonschema.Draft202012Validator(schema()).validate(json.loads(path.read_bytes()))
    assert not [name for name in os.listdir(pytester.path) if name.startswith(".pytest-mcast") or "journal" in name]
    return result, read(path)


def _record(pytester: pytest.Pytester, *arguments: str) -> Record:
    return _run(pytester, *arguments)[1]


def _write(path: Path, fates: Sequence[str], more: str = "") -> None:
    """Write a file of one cell for each."""
    hosts = ", ".join(f"{name}: virtual" for name in dict.fromkeys(["one", *fates]))
    receivers = ", ".join(fates)
    matrix = f"matrix: {{sender: [one], receiver: [{receivers}], family: [ipv4], mode: [asm]}}"
    path.write_text(f"title: The title\nhosts: {{{hosts}}}\n{matrix}\n{more}")


def _cells(record: Record) -> dict[str, Cell]:
    return {f"{cell.key['sender']}->{cell.key['receiver']}": cell for cell in record.cells}


def _outcomes(record: Record) -> list[str]:
    cells = _cells(record)
    return [cells[name].outcome for name in NAMES if name in cells]


def _by_fate(record: Record) -> dict[str, Cell]:
    return {cell.key["receiver"]: cell for cell in record.cells}


# One worker, unless the results are to come from two: each is a process that takes its time to begin.
ONE_BY_ONE = pytest.mark.parametrize("way", [(), ("-n1",)], ids=["plain", "xdist"])


@pytest.mark.parametrize("way", [(), ("-n2",)], ids=["plain", "xdist"])
def test_a_run_and_its_cells(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    record = _record(pytester, "--mcast-require=all", *way)
    assert record.runs[0].exit_code == 0
    assert record.runs[0].command[:2] == ("pytest", record.runs[0].command[1])
    assert "--mcast-report=out.json" in record.runs[0].command
    assert record.runs[0].duration_s > 0
    (file,) = record.files.values()
    assert (file.title, file.notes, file.subjects) == ("The title", "", {})
    assert [(name, facts["kind"], facts["interface"]) for name, facts in file.hosts.items()] == [
        ("one", "virtual", "eth0"),
        ("two", "virtual", "eth0"),
    ]
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
    first, second = (_record(pytester, "--collect-only").runs[0].id for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("way", "more"),
    [((), {}), (("-n1",), {"crash": ("error", "pass", "", "worker gw0 crashed")})],
    ids=["plain", "xdist and a worker that crashes"],
)
def test_what_becomes_of_cells(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...], more: dict[str, tuple[str, ...]]
) -> None:
    # In the middle: what comes after a crash is run by the replacement of the worker.
    _write(scenario, ["pass", "lose", "skip", "unproved", *more, *list(FATES)[4:]])
    record = _record(pytester, *way)
    assert record.runs[0].exit_code == 1
    cells = _by_fate(record)
    found = {name: (cell.outcome, cell.expectation, cell.expected_reason, cell.reason) for name, cell in cells.items()}
    assert found == dict(sorted((FATES | more).items()))
    assert {cell.attempts for cell in record.cells} == {1}
    assert cells["pass"].evidence[0].startswith("3 datagrams delivered in order")
    assert cells["lose"].evidence == ()


@pytest.mark.parametrize("way", [("--collect-only",), ("-n1",)], ids=["plain", "xdist"])
def test_what_was_left_out_is_not_in_the_record(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]
) -> None:
    chosen = ("a.mcast.yaml::ipv4-asm[one->two]", "a.mcast.yaml::ipv4-asm[two->one]", "-k", "ipv4-asm[two")
    assert list(_cells(_record(pytester, *chosen, *way))) == ["two->one"]
    assert not _record(pytester, "-m", "not mcast", *way).cells


@ONE_BY_ONE
def test_what_was_not_reached_is_not_run(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    # With xdist two more cells are on their way to the worker before it can be stopped.
    _write(scenario, ["break", "one", "two", "never", "last"], DECLARED)
    record = _record(pytester, "-x", *way)
    assert record.runs[0].exit_code
    cells = _by_fate(record)
    assert cells["break"].outcome == "error"
    left = cells["last"]
    assert (left.outcome, left.attempts, left.reason) == ("not-run", 0, "the run did not get to it")
    assert (left.expectation, left.sometimes, left.expected_reason) == ("fail", True, "by chance")
    assert (left.notes, left.line) == ("a note", 3)
    assert (record.files["a.mcast.yaml"].title, record.files["a.mcast.yaml"].notes) == ("The title", "Of the file")


def test_collect_only_records_what_there_is_to_run(pytester: pytest.Pytester, scenario: Path) -> None:
    for way in ((), ("--numprocesses=2",)):  # which starts no workers
        record = _record(pytester, "--collect-only", *way)
        assert _outcomes(record) == ["not-run"] * 4
        assert record.runs[0].exit_code == 0


# With xdist workers crash as well.
@pytest.mark.parametrize(
    ("way", "more"),
    [
        ((), {}),
        (
            ("-n1",),
            {
                "crash-once": ("pass", 2, "attempt 1: error: worker gw0 crashed"),
                "crash": ("error", 2, "worker gw2 crashed; attempt 1: error: worker gw1 crashed"),
            },
        ),
    ],
    ids=["plain", "xdist"],
)
def test_reruns_are_attempts(
    pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...], more: dict[str, tuple[str, int, str]]
) -> None:
    _write(scenario, ["lose-once", "lose", *more, "break", "strict", "two"])
    cells = _by_fate(_record(pytester, "--reruns=1", *way))
    broken = "error: setup: RuntimeError: set-up is broken"
    assert {name: (cell.outcome, cell.attempts, cell.reason) for name, cell in cells.items()} == {
        "break": ("error", 2, f"{broken.removeprefix('error: ')}; attempt 1: {broken}"),
        "lose": ("fail", 2, "lost; attempt 1: fail: lost"),
        "lose-once": ("pass", 2, "attempt 1: fail: lost"),
        "strict": ("pass", 2, "attempt 1: pass"),
        "two": ("pass", 1, ""),
        **more,
    }
    assert (cells["strict"].expectation, cells["strict"].expected_reason) == ("fail", "known")


def test_a_crash_of_the_first_cell_without_replacement(pytester: pytest.Pytester, scenario: Path) -> None:
    _write(scenario, ["crash", "one", "last"], DECLARED)
    result, record = _run(pytester, "-n1", "--max-worker-restart=0")
    assert [(name, cell.outcome, cell.expectation) for name, cell in _by_fate(record).items()] == [
        ("crash", "error", "pass"),
        ("last", "not-run", "fail"),
        ("one", "not-run", "pass"),
    ]
    # The tables are a view of the record.
    table = [
        "The title (a.mcast.yaml)",
        "",
        "  ipv4-asm  to crash  to last  to one",
        "  from one  error     not-run  not-run",
    ]
    result.stdout.fnmatch_lines(table)


@ONE_BY_ONE
def test_the_private_network_is_the_place(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    record = _record(pytester, "--mcast-lab", "a.mcast.yaml::ipv4-asm[one->one]", *way)
    assert _outcomes(record) == ["pass"]
    assert record.runs[0].environment["place"] == "a private network"


@ONE_BY_ONE
def test_without_scenario_files_the_record_is_empty(pytester: pytest.Pytester, way: tuple[str, ...]) -> None:
    pytester.makepyfile("def test_it(mcast_lab): pass")
    record = _record(pytester, *way)
    assert record.cells == ()
    assert record.runs[0].environment["place"] == "a virtual network"


def test_xdist_is_not_needed(pytester: pytest.Pytester, scenario: Path) -> None:
    assert _outcomes(_record(pytester, "-p", "no:xdist")) == ["pass"] * 4


def test_settings_and_what_a_path_is_relative_to(
    pytester: pytest.Pytester, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = pytester.mkdir("below")
    pytester.makeini("[pytest]\nmcast_report = ini.json\n")
    monkeypatch.chdir(below)
    with monkeypatch.context() as patch:
        result = run_here(pytester, "..", "--collect-only")
        result.stdout.fnmatch_lines([f"mcast: report {pytester.path}/ini.json (mcast_report in tox.ini)"])
        run_here(pytester, "..", "--collect-only", "-o", "mcast_report=override.json")
        patch.setenv("PYTEST_MCAST_REPORT", "environment.json")
        patch.setenv("HOME", str(below))
        run_here(pytester, "..", "--collect-only")
        run_here(pytester, "..", "--collect-only", "--mcast-report", "~/option.json")
    for path in (
        pytester.path / "ini.json",
        below / "override.json",
        below / "environment.json",
        below / "option.json",
    ):
        assert len(read(path).cells) == 4, path


def test_listing_fixtures_keeps_the_record_of_before(pytester: pytest.Pytester, scenario: Path) -> None:
    before = _record(pytester, "--collect-only")
    for option in ("--fixtures", "--markers", "--help", "--version"):
        assert run_here(pytester, "--mcast-report=out.json", option).ret == 0
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
        result = run_here(pytester, f"--mcast-report={path}", *way)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        text = f"--mcast-report: cannot write '{pytester.path}/{path}': {reason.format(home=pytester.path)}; name a *"
        result.stderr.fnmatch_lines([f"ERROR: {text}"])
        result.stdout.no_fnmatch_line("*passed*")


def test_no_path_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--mcast-report=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --mcast-report: '' is not the path of a file"])


@ONE_BY_ONE
def test_a_record_that_is_lost_fails_the_run(pytester: pytest.Pytester, scenario: Path, way: tuple[str, ...]) -> None:
    pytester.makeconftest("""
        import shutil

        def pytest_runtest_logreport(report):
            shutil.rmtree("out", ignore_errors=True)
    """)
    pytester.mkdir("out")
    option = "--mcast-report=out/out.json"
    result = pytester.runpytest_subprocess(option, *way) if way else run_here(pytester, option)
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
