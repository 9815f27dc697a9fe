"""--mcast-core, the fixture mcast_core and the hook pytest_mcast_cores."""

from __future__ import annotations

import sys

import pytest

from ..conftest import Runner
from ..cores.support import RECEIVE, described
from ..lab.test_private_network import TAKE_AWAY
from ..support.pytests import run_here

TEST = """
    def test_it(mcast_core):
        print("core", mcast_core.name)
"""
SEVERAL = """
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_it(mcast_core, mcast_lab, number):
        assert mcast_core.name == "builtin"
        rx, tx = mcast_lab.hosts(2)
        channel = mcast_lab.channel()
        with mcast_core.open(channel, rx) as receiver:
            tx.sender(channel).send(b"hello")
            assert receiver.recv().payload == b"hello"
"""
MINE = """
    from pytest_mcast import MissingCapability
    from pytest_mcast.cores import BuiltInCore

    class Mine(BuiltInCore):
        name = "mine"

    class Other(BuiltInCore):
        name = "other"

    class Deaf(BuiltInCore):
        name = "deaf"

        def open(self, channel, host, **options):
            receiver = super().open(channel, host, **options)
            receiver.leave()
            return receiver

    class Absent(BuiltInCore):
        name = "absent"

        @property
        def version(self):
            raise MissingCapability("programs", "there is none", "install it")

        def open(self, channel, host, **options):
            return self.version

    ready_made = Mine()
"""
PLAIN = ("-s", "--mcast-require=all")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return run_here(pytester, *PLAIN, *arguments)


def passes_with(result: pytest.RunResult, core: str, origin: str, shown: str | None = None) -> None:
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"mcast: *core {shown or core} ({origin})", f"*core {core}*"])


def test_the_default_is_the_built_in_core(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*core builtin*"])
    result.stdout.no_fnmatch_line("mcast: *core builtin*(*")


def test_a_core_is_found_by_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    passes_with(run(pytester, "--mcast-core=naive"), "naive", "--mcast-core")


@pytest.mark.parametrize("attribute", ["Mine", "ready_made"])
def test_a_core_is_found_in_a_module(pytester: pytest.Pytester, attribute: str) -> None:
    pytester.makepyfile(TEST, my_cores=MINE)
    result = run(pytester, f"--mcast-core=my_cores:{attribute}", "-o", "pythonpath=.")
    passes_with(result, "mine", "--mcast-core", f"my_cores:{attribute}")


def test_a_core_is_described_in_a_file(pytester: pytest.Pytester) -> None:
    described(pytester.path, RECEIVE)
    pytester.makepyfile(TEST)
    passes_with(run(pytester, "--mcast-core=small.yaml"), "small", "--mcast-core", str(pytester.path / "small.yaml"))


def test_a_file_on_the_command_line_is_where_one_is_and_one_in_the_ini_file_is_beside_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = pytester.mkdir("below")
    described(pytester.path, RECEIVE, name="above")
    described(below, RECEIVE, name="below")
    (below / "test_it.py").write_text("def test_it(mcast_core):\n    print('core', mcast_core.name)\n")
    pytester.makeini("[pytest]\nmcast_core = small.yaml\n")
    monkeypatch.chdir(below)
    passes_with(run(pytester), "above", "mcast_core in tox.ini", str(pytester.path / "small.yaml"))
    passes_with(run(pytester, "--mcast-core=small.yaml"), "below", "--mcast-core", str(below / "small.yaml"))


def test_command_line_before_environment_before_ini(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(TEST, my_cores=MINE)
    pytester.makeini("[pytest]\npythonpath = .\nmcast_core = my_cores:Mine\n")
    passes_with(run(pytester), "mine", "mcast_core in tox.ini", "my_cores:Mine")
    monkeypatch.setenv("PYTEST_MCAST_CORE", "my_cores:Other")
    passes_with(run(pytester), "other", "PYTEST_MCAST_CORE", "my_cores:Other")
    passes_with(run(pytester, "--mcast-core=naive"), "naive", "--mcast-core")


@pytest.mark.parametrize(
    ("core", "text"),
    [
        (
            "naiv",
            "--mcast-core: there is no receive core 'naiv'; did you mean 'naive'? there are builtin, *, and FILE.yaml",
        ),
        ("no_such:Core", "--mcast-core: receive core 'no_such:Core': cannot import 'no_such': ModuleNotFoundError: *"),
        ("my_cores:Mien", "--mcast-core: receive core 'my_cores:Mien': there is no 'Mien' in it; there is *Mine*"),
        ("none.yaml", "--mcast-core: cannot read the description */none.yaml: No such file or directory"),
        ("bad.yaml", "--mcast-core: */bad.yaml:2:7: kind: 'receivr' is not allowed; did you mean 'receiver'? *"),
        ("sender.yaml", "--mcast-core: */sender.yaml describes a sender, small_send, where a receiver belongs"),
    ],
)
def test_a_wrong_value_is_a_usage_error(pytester: pytest.Pytester, core: str, text: str) -> None:
    pytester.makepyfile(TEST, my_cores=MINE)
    (pytester.path / "bad.yaml").write_text("name: x\nkind: receivr\ncommand: [x]\n")
    (pytester.path / "sender.yaml").write_text("name: small_send\nkind: sender\ncommand: [x]\n")
    result = run(pytester, f"--mcast-core={core}", "-o", "pythonpath=.")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {text}"])


def test_a_wrong_value_elsewhere_names_where(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(TEST)
    pytester.makeini("[pytest]\nmcast_core = nobody\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: mcast_core in tox.ini: there is no receive core 'nobody'; *"])
    monkeypatch.setenv("PYTEST_MCAST_CORE", "somebody")
    result = run(pytester)
    result.stderr.fnmatch_lines(["ERROR: PYTEST_MCAST_CORE: there is no receive core 'somebody'; *"])


HOOK = """
    from my_cores import Mine, Other

    def pytest_mcast_cores(config):
        return [Mine(), Other()]
"""


def test_a_conftest_has_cores_by_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST, my_cores=MINE)
    pytester.makeconftest(HOOK)
    passes_with(run(pytester, "--mcast-core=other", "-o", "pythonpath=."), "other", "--mcast-core")
    result = run(pytester, "--mcast-core=othr", "-o", "pythonpath=.")
    result.stderr.fnmatch_lines(["ERROR: *no receive core 'othr'; did you mean 'other'? there are builtin, *, mine, *"])


def test_a_plugin_has_cores_by_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST, my_cores=MINE, my_plugin=HOOK)
    pytester.syspathinsert()
    passes_with(run(pytester, "-p", "my_plugin", "--mcast-core=mine"), "mine", "--mcast-core")


def test_the_hook_is_not_called_for_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makeconftest("def pytest_mcast_cores(config):\n    raise ZeroDivisionError\n")
    run(pytester).assert_outcomes(passed=1)


def test_what_a_hook_returns_must_be_a_core(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makeconftest("def pytest_mcast_cores(config):\n    return ['mine']\n")
    result = run(pytester, "--mcast-core=mine")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --mcast-core: a receive core of a plugin is 'mine', which has no name, *"])


@pytest.mark.parametrize("lab", [[], ["--mcast-lab"]], ids=["virtual hosts", "private network"])
def test_workers_have_the_core_too(pytester: pytest.Pytester, lab: list[str]) -> None:
    pytester.makepyfile(SEVERAL)
    pytester.runpytest_subprocess(*PLAIN, "-n1", "--mcast-core=builtin", *lab).assert_outcomes(passed=4)


def test_a_program_in_workers(pytester: pytest.Pytester) -> None:
    described(pytester.path, RECEIVE, name="builtin")
    pytester.makepyfile(SEVERAL)
    pytester.runpytest_subprocess(*PLAIN, "-n1", "--mcast-core=small.yaml").assert_outcomes(passed=4)


def test_a_conftest_can_choose(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makeconftest("""
        import pytest
        from pytest_mcast.cores import NaiveCore

        @pytest.fixture
        def mcast_core():
            return NaiveCore()
    """)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*core naive*"])


def test_a_core_that_is_not_to_be_believed_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEVERAL, my_cores=MINE)
    result = run(pytester, "--mcast-core=my_cores:Deaf", "-o", "pythonpath=.", "--mcast-timeout=0.1")
    result.assert_outcomes(errors=4)  # the self-check is made once, and its failure is everybody's
    result.stdout.fnmatch_lines(["E *CoreFailure: deaf did not report a datagram that was sent to 239.*"])


def test_a_program_that_dies_is_an_error_that_has_its_output(pytester: pytest.Pytester) -> None:
    described(pytester.path, 'sys.exit("out of luck")')
    pytester.makepyfile(TEST)
    result = run(pytester, "--mcast-core=small.yaml")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["E *CoreFailure: small: it ended before it was ready, with exit code 1", "E *stderr:", "E *out of luck"]
    )


@pytest.mark.parametrize("core", ["my_cores:Absent", "absent.yaml"])
def test_one_that_is_not_there_is_a_skip_or_if_required_a_failure(pytester: pytest.Pytester, core: str) -> None:
    described(pytester.path, None, command=["no-such-program-4711"], install="install it")
    (pytester.path / "small.yaml").rename(pytester.path / "absent.yaml")
    pytester.makepyfile(TEST, my_cores=MINE)
    arguments = ("-rs", f"--mcast-core={core}", "-o", "pythonpath=.")
    result = run_here(pytester, *arguments)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *mcast: there is no*; install it"])
    result = run_here(pytester, *arguments, "--mcast-require=programs")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mcast: programs is required by --mcast-require: there is no*; install it"])


def test_without_namespaces_it_is_a_skip_or_if_required_a_failure(run_as_user: Runner) -> None:
    run_as_user.write(TEST)
    command = [sys.executable, "-c", TAKE_AWAY, "max_net_namespaces", sys.executable, "-m", "pytest"]
    command += ["-rs", "-p", "no:cacheprovider", "--mcast-core=naive"]
    result = run_as_user(command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 skipped" in result.stdout
    assert "mcast: user.max_net_namespaces=0 forbids" in result.stdout
    result = run_as_user([*command, "--mcast-require=namespaces"])
    assert result.returncode == 1
    assert "mcast: namespaces is required by --mcast-require: user.max_net_namespaces=0 forbids" in result.stdout


def test_an_ordinary_user_has_it_too(run: Runner) -> None:
    run.write(TEST)
    described(run.home, RECEIVE)
    (run.home / "small.yaml").chmod(0o644)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "--mcast-lab", "--mcast-require=all"]
    result = run([*command, "--mcast-core=small.yaml"])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "core small" in result.stdout


def test_it_costs_nothing_when_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it():
            assert not [name for name in sys.modules if name.startswith("pytest_mcast.cores")]
    """)
    pytester.runpytest_subprocess(*PLAIN).assert_outcomes(passed=1)
