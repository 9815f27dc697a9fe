"""Every command and example in README and docs runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mcast.report import Record, Run, write

from ..conftest import Runner

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MY_RECEIVER = """
import sys
from pytest_mcast.core import Channel, Receiver

if sys.argv[1] == "--version":
    sys.exit("my_receiver 1.4")
group, _, port = sys.argv[1].partition(":")
source = sys.argv[3] if sys.argv[2] == "--source" else None
interface = sys.argv[-1].removeprefix("--interface=")
ready, packet, payload = OUTPUT.splitlines()
with Receiver(Channel(group, int(port), source), interface, timeout=60) as receiver:
    print(ready.replace("239.1.2.3:5000", sys.argv[1]), flush=True)
    while True:
        datagram = receiver.recv()
        told = {"10.0.0.1:40000": "%s:%d" % datagram.source, "eth0": interface, "5": str(len(datagram.payload))}
        words = packet.split()
        shown = bytes(octet if octet >= 32 else 46 for octet in datagram.payload[:64])
        line = " ".join(told.get(word.rstrip(","), word) + "," * word.endswith(",") for word in words)
        print(line, payload.replace("68656c6c6f", shown.hex()), sep="\\n", flush=True)
"""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(kind: str, *paths: Path) -> list[str]:
    return [text for path in paths or DOCUMENTS for found, text in BLOCK.findall(path.read_text()) if found == kind]


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    for path in DOCUMENTS:
        for kind, _ in BLOCK.findall(path.read_text()):
            assert kind in ("python", "console", "sh", "yaml", "text"), path


def test_python_examples_pass(run_as_user: Runner) -> None:
    examples = _blocks("python")
    if not os.environ.get("CI") and not shutil.which("zebra", path="/usr/lib/frr:/usr/libexec/frr"):
        examples = [example for example in examples if ".frr(" not in example]
    assert len(examples) >= 7
    for number, example in enumerate(examples):
        run_as_user.write(example, f"test_example{number}.py")
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--mcast-lab", "--mcast-require=all"]
    result = run_as_user([sys.executable, "-m", "pytest", *options], timeout=110)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "skipped" not in result.stdout


COMMANDS = [
    line.removeprefix("$ ").partition("  #")[0].strip() for block in _blocks("console") for line in block.splitlines()
]


# Each once, in however many documents it is.
@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_console_examples_work(tmp_path: Path, command: str) -> None:
    assert not command.startswith("#")
    home = Runner(tmp_path)
    home.write(_blocks("python", ROOT / "README.md")[0], "test_example.py")
    words = shlex.split(command, comments=True)
    if words[0] == "pytest":
        result = home([sys.executable, "-m", *words, "-p", "no:cacheprovider"], timeout=110)
        if words[1:] == ["--mcast-require", "all"] and result.returncode:
            assert "mcast: namespaces is required" in result.stdout  # an ordinary user, without --mcast-lab
            return
        assert result.returncode == 0, result.stdout
        assert "passed" in result.stdout
        return
    assert words[0] == "pytest-mcast"
    if words[1] == "report":
        for word in words:
            if word.endswith(".json"):
                write(Record((Run("an id", "2026-02-03T04:05:06Z", 1.0),)), tmp_path / word)
    if words[1] in ("recv", "echo"):
        _ends_with_a_signal([sys.executable, "-m", "pytest_mcast", *words[1:]])
        return
    result = home([sys.executable, "-m", "pytest_mcast", *words[1:]])
    assert result.returncode in ((0, 1) if "doctor" in words else (0,)), result.stderr
    assert result.stdout


def _ends_with_a_signal(command: list[str]) -> None:
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("socat") is None and not os.environ.get("CI"), reason="there is no socat")
@pytest.mark.parametrize(
    ("document", "counts"),
    [("README.md", "12 passed, 12 skipped"), ("docs/scenarios.md", "20 passed, 4 skipped")],
)
def test_scenario_files_in_documents_run(tmp_path: Path, document: str, counts: str) -> None:
    (example,) = _blocks("yaml", ROOT / document)
    home = Runner(tmp_path)
    home.write(example, "example.mcast.yaml")
    result = home(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--mcast-lab", "--mcast-require=all"]
    )
    assert result.returncode == 0, result.stdout
    assert counts in result.stdout


def test_the_receive_core_that_is_described_works(tmp_path: Path) -> None:
    document = ROOT / "docs" / "receive-cores.md"
    (description,) = _blocks("yaml", document)
    (output,) = _blocks("text", document)
    home = Runner(tmp_path)
    home.write(description, "my_receiver.yaml")
    home.write(f"#!{sys.executable}\nOUTPUT = {output!r}\n{MY_RECEIVER}", "my_receiver")
    (tmp_path / "my_receiver").chmod(0o755)
    result = home([sys.executable, "-m", "pytest_mcast", "cores", "my_receiver.yaml"])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "my_receiver 1.4" in result.stdout
    assert " 2 failed as is known, 0 not as is known, 0 absent" in result.stdout


def test_the_set_up_is_two_commands_and_ci_runs_the_second() -> None:
    (block,) = _blocks("sh", ROOT / "README.md")
    main_job, tests = block.splitlines()
    assert main_job.endswith("tox -q -e matrix")
    assert tests.endswith("tox")
    script = (ROOT / ".ci" / "run").read_text()
    finder = re.search(r"command=\$\((.*)\)", script)
    assert finder
    found = subprocess.run(["bash", "-c", finder.group(1)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == tests
    environments = re.search(r"^env_list = (.*)$", (ROOT / "tox.ini").read_text(), re.MULTILINE)
    assert environments
    assert "matrix" in environments.group(1)  # so the first command runs in CI as well


def test_links_lead_somewhere() -> None:
    for path in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = [line for line in (ROOT / "tests" / "lowest.txt").read_text().splitlines() if not line.startswith("#")]
    assert sorted(line.replace("==", ">=") for line in lowest) == sorted(project["dependencies"])


def test_no_path_of_a_machine_is_in_the_project() -> None:
    # The tree may belong to another user than we are.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert len(tracked) > 100
    pattern = re.compile(r"/(work|home/\w+|Users/\w+|root)/")
    for name in tracked:
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            assert not pattern.search(path.read_text(errors="replace")), name


def test_the_wheel_is_what_is_tested_under_tox() -> None:
    import pytest_mcast

    if "TOX_ENV_NAME" not in os.environ:
        pytest.skip("not under tox: the working tree is tested")
    assert ROOT not in Path(pytest_mcast.__file__).parents or ".tox" in pytest_mcast.__file__
    package = Path(pytest_mcast.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "scenarios" / "schema.json").exists()
    assert (package / "report" / "schema.json").exists()
    assert (package / "report" / "schema-1.json").exists()
    assert {path.suffix for path in (package / "report").glob("page.*")} == {".css", ".j2", ".js"}
