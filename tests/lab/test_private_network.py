"""``pytest --mcast-lab`` and ``pytest-mcast run``: as whoever runs this, and as an ordinary user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mcast.lab.refusal import refusal

from ..conftest import Runner

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]

FOUR_WAYS = """
    def test_delivery(mcast_receiver, mcast_sender):
        mcast_sender.send(b"hello")
        assert mcast_receiver.recv().payload == b"hello"

    def test_echo(mcast_echo, mcast_sender):
        mcast_sender.send(b"hello")
        assert mcast_sender.recv().payload == b"hello"
"""

# What an existing suite does: fixed ports, fixed groups, no interface named, no idea of namespaces.
PLAIN_SUITE = """
    import os
    import socket
    import struct
    import pytest

    @pytest.fixture(scope="session")
    def mdns():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 5353))  # alone: no SO_REUSEADDR
            yield sock

    @pytest.mark.parametrize("n", range(8))
    def test_ipv4(mdns, n):
        group = socket.inet_aton("224.0.0.251")
        mdns.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + bytes(4))
        mdns.settimeout(5)
        mdns.sendto(b"query", ("224.0.0.251", 5353))
        assert mdns.recv(100) == b"query"
        mdns.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, group + bytes(4))

    def test_ipv6():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", 5353))
            request = socket.inet_pton(socket.AF_INET6, "ff02::fb") + struct.pack("@I", 0)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            sock.settimeout(5)
            sock.sendto(b"query", ("ff02::fb", 5353))
            assert sock.recv(100) == b"query"

    def test_network(record_property):
        names = [name for _, name in socket.if_nameindex()]
        assert names == ["lo", "eth0"]
        record_property("uid", os.getuid())

    def test_the_internet_is_refused_at_once():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("192.0.2.1", 80), timeout=60)

    def test_files_belong_to_the_user(tmp_path):
        assert tmp_path.stat().st_uid == os.getuid() == os.geteuid()
"""


def _passed(result: subprocess.CompletedProcess[str], count: int) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{count} passed" in result.stdout.splitlines()[-1], result.stdout


@pytest.mark.parametrize(
    "options",
    [[], ["-n2", "--reruns=1"], ["-p", "no:randomly", "--timeout=30", "--timeout-method=thread"]],
    ids=" ".join,
)
def test_the_four_ways(run: Runner, options: list[str]) -> None:
    run.write(FOUR_WAYS)
    result = run([*PYTEST, "--mcast-lab", "--mcast-require=all", *options])
    _passed(result, 8)
    assert "mcast: the fixtures lived on virtual hosts of a private network" in result.stdout


@pytest.mark.parametrize("options", [[], ["-n2"]], ids=" ".join)
def test_a_suite_with_fixed_ports_runs_unchanged(run: Runner, options: list[str]) -> None:
    run.write(PLAIN_SUITE)
    _passed(run([*PYTEST, "--mcast-lab", *options]), 12)


def test_coverage_works(run_as_user: Runner) -> None:
    run_as_user.write(FOUR_WAYS)
    result = run_as_user([sys.executable, "-m", "coverage", "run", "--source=.", *PYTEST[1:], "--mcast-lab"])
    _passed(result, 8)
    assert "100%" in run_as_user([sys.executable, "-m", "coverage", "report"]).stdout


def test_a_read_only_proc_sys_is_said_when_it_matters(run_as_user: Runner) -> None:
    run_as_user.write(FOUR_WAYS)
    read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "
    unshare = ["unshare", "-Urmn", "sh", "-c"]
    # The defaults of this machine do not matter to a verdict: it works, as far as the example in the docs says.
    shell = read_only + " ".join([*PYTEST, "--mcast-lab", "--mcast-require=all"])
    _passed(run_as_user([*unshare, shell]), 8)
    # Other defaults cannot be had without changing the machine's, which new networks copy: another wish is the same.
    wish = "from pytest_mcast.lab.sysctls import write_sysctl; write_sysctl('ipv4/conf/all/rp_filter', '7')"
    result = run_as_user([*unshare, f'{read_only} {sys.executable} -c "{wish}"'])
    assert "namespaces: /proc/sys is read-only, and net.ipv4.conf.all.rp_filter is 0; make it writable" in result.stderr


def test_the_user_stays_who_he_is(run_as_user: Runner) -> None:
    run_as_user.write("\n    import os\n    def test_it():\n        assert os.getuid() == os.getgid() != 0")
    expected = run_as_user(["id", "-u"]).stdout
    assert run_as_user([*PYTEST, "--mcast-lab"]).returncode == 0
    assert run_as_user(["id", "-u"]).stdout == expected


# Of the signal method, which fails the test, and of the thread method, which ends the run.
@pytest.mark.parametrize(("method", "told"), [("signal", "Failed: Timeout"), ("thread", "+ Timeout +")])
def test_the_time_out_of_pytest_timeout_works(home: Runner, method: str, told: str) -> None:
    home.write(
        """
        def test_waits(mcast_receiver):
            mcast_receiver.recv(timeout=60)
        """,
    )
    result = home([*PYTEST, "--mcast-lab", "--timeout=0.3", f"--timeout-method={method}", "-k", "ipv6-ssm"])
    assert result.returncode == 1
    assert told in result.stdout + result.stderr


def test_the_debugger_is_in_the_network(home: Runner) -> None:
    home.write("def test_fails():\n    assert False")
    result = home([*PYTEST, "--mcast-lab", "--pdb"], typed="p __import__('socket').if_nameindex()[1][1]\nq\n")
    assert "(Pdb) 'eth0'" in result.stdout


def test_interfaces_are_configurable(home: Runner) -> None:
    home.write("""
        import socket
        import subprocess

        def test_it(mcast_iface):
            assert [name for _, name in socket.if_nameindex()] == ["lo", "veth0", "veth1"]
            assert mcast_iface.name == "veth0"
            assert b"02:00:00:00:00:07" in subprocess.check_output(["ip", "link", "show", "veth1"])
    """)
    home.write("[pytest]\nmcast_lab = on\nmcast_lab_interfaces = veth0 veth1=02:00:00:00:00:07\n", "pytest.ini")
    _passed(home(PYTEST), 1)


def test_a_process_with_threads_is_told_to_use_run(run_as_user: Runner) -> None:
    run_as_user.write(FOUR_WAYS)
    program = (
        "import sys, threading, pytest\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    result = run_as_user([sys.executable, "-c", program, "--mcast-lab"])
    assert result.returncode == 4
    assert "this process has 2; start it from a process of one thread: pytest-mcast run -- pytest ..." in result.stderr
    result = run_as_user([sys.executable, "-c", program, "-o", "mcast_lab=auto"])
    assert result.stdout.count("went on without") == 1
    assert result.returncode == 0
    # The cure.
    result = run_as_user(
        [sys.executable, "-m", "pytest_mcast", "run", "--", sys.executable, "-c", program, "--mcast-lab"]
    )
    _passed(result, 8)


class TestRun:
    """``pytest-mcast run``."""

    COMMAND = (sys.executable, "-m", "pytest_mcast", "run")

    def test_a_program_gets_the_network(self, run: Runner) -> None:
        look = "import socket; print([name for _, name in socket.if_nameindex()])"
        result = run([*self.COMMAND, "--", sys.executable, "-c", look])
        assert (result.returncode, result.stdout) == (0, "['lo', 'eth0']\n")

    def test_the_switch_lives_as_long_as_the_program(self, run: Runner) -> None:
        ping = (
            "import socket, sys; s = socket.create_server(('', 0)); "
            "c = socket.socket(); c.settimeout(5); code = c.connect_ex(('10.64.255.254', 9)); print(code)"
        )
        assert run([*self.COMMAND, sys.executable, "-c", ping]).stdout == "111\n"  # refused by the switch: it is there

    def test_a_program_that_closes_all_descriptors_keeps_the_network(self, run: Runner) -> None:
        look = "import os, socket; os.closerange(3, 4096); print([name for _, name in socket.if_nameindex()])"
        assert run([*self.COMMAND, sys.executable, "-c", look]).stdout == "['lo', 'eth0']\n"

    def test_signals_are_handed_on(self, run: Runner) -> None:
        # The program ends its parent, which hands that on. It is blocked, so that it cannot come before the wait for it.
        program = (
            "import os, signal, sys\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
            "os.kill(os.getppid(), signal.SIGTERM)\n"
            "sys.exit(43 if signal.sigwait([signal.SIGTERM]) == signal.SIGTERM else 1)\n"
        )
        assert run([*self.COMMAND, sys.executable, "-c", program]).returncode == 43
        assert run([*self.COMMAND, "sh", "-c", "kill -9 $$"]).returncode == 128 + 9

    def test_exit_codes(self, run: Runner) -> None:
        assert run([*self.COMMAND, "sh", "-c", "exit 7"]).returncode == 7
        missing = run([*self.COMMAND, "no-such-program-4711"])
        assert (missing.returncode, missing.stderr) == (
            127,
            "pytest-mcast run: cannot start no-such-program-4711: No such file or directory\n",
        )
        none = run([*self.COMMAND])
        assert none.returncode == 2
        assert "which COMMAND?" in none.stderr


# Takes a capability or a setting away from itself, for real, then becomes the rest of the command line.
TAKE_AWAY = """
import ctypes, os, platform, struct, sys
libc = ctypes.CDLL(None, use_errno=True)

def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "refused")

def own_user_namespace():
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(0x10000000))
    open("/proc/self/setgroups", "w").write("deny")
    open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
    open("/proc/self/gid_map", "w").write(f"0 {gid} 1")

def drop_all_capabilities():
    check(libc.prctl(28, 0x2f, 0, 0, 0))  # PR_SET_SECUREBITS: uid 0 means nothing
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    check(libc.capset(header, data))

def max_user_namespaces():
    own_user_namespace()
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    drop_all_capabilities()

def max_net_namespaces():
    own_user_namespace()
    open("/proc/sys/user/max_net_namespaces", "w").write("0")
    drop_all_capabilities()

def uid_map():
    own_user_namespace()
    check(libc.unshare(0x00020000))  # CLONE_NEWNS
    check(libc.mount(b"none", b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE
    check(libc.mount(b"/proc", b"/proc", None, 0x5000, None))  # MS_BIND | MS_REC
    check(libc.mount(b"none", b"/proc", None, 0x1021 | 2 | 4 | 8, None))  # MS_REMOUNT | MS_BIND | MS_RDONLY, and as it was
    drop_all_capabilities()

def foreign_network():
    own_user_namespace()

def seccomp():
    number = {"x86_64": 272, "aarch64": 97}[platform.machine()]  # unshare
    # load the number; is it unshare? then EPERM; else allow (linux/filter.h, seccomp(2))
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    packed = b"".join(struct.pack("=HBBI", *step) for step in code)
    buffer = ctypes.create_string_buffer(packed)
    program = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    check(libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
    check(libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0))  # PR_SET_SECCOMP

globals()[sys.argv[1]]()
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("what", "reason", "cure"),
    [
        ("max_user_namespaces", "user.max_user_namespaces=0 forbids", "sudo sysctl -w user.max_user_namespaces=15000"),
        ("max_net_namespaces", "user.max_net_namespaces=0 forbids", "sudo sysctl -w user.max_net_namespaces=15000"),
        ("uid_map", "the kernel refuses namespaces (Read-only file system)", "run as root (CAP_SYS_ADMIN)"),
        ("seccomp", "a seccomp filter, or the lack of CAP_SYS_ADMIN", "docker run --cap-add NET_ADMIN --cap-add SYS_"),
    ],
)
def test_a_refusal_names_the_setting_and_the_cure(run_as_user: Runner, what: str, reason: str, cure: str) -> None:
    run_as_user.write(FOUR_WAYS)
    take_away = [sys.executable, "-c", TAKE_AWAY, what]
    for command in ([*PYTEST, "--mcast-lab"], [sys.executable, "-m", "pytest_mcast", "run", "true"]):
        result = run_as_user([*take_away, *command])
        assert result.returncode == 4, result.stdout + result.stderr
        assert f"no private network: {reason}" in result.stderr
        assert cure in result.stderr
    without = run_as_user([*take_away, *PYTEST, "-o", "mcast_lab=auto"])
    assert without.returncode == 0
    assert reason in without.stdout


@pytest.mark.parametrize(
    ("setting", "value", "cure"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ],
)
def test_settings_of_other_distributions_are_named(tmp_path: Path, setting: str, value: str, cure: str) -> None:
    # These exist on Ubuntu and Debian kernels only: the file is made up, what is made of it is real.
    path = tmp_path / "sys" / setting
    path.parent.mkdir(parents=True)
    path.write_text(value)
    missing = refusal(PermissionError(1, "Operation not permitted"), tmp_path)
    assert missing.reason == f"{setting.replace('/', '.')}={value} forbids namespaces"
    assert missing.remedy == f"run: sudo sysctl -w {cure}"


def test_where_there_is_no_way_back_the_thread_stays_where_it_is(run_as_user: Runner) -> None:
    # As root of a user namespace whose network belongs to somebody else: a new one can be made, but not left again.
    run_as_user.write("""
        import os

        def test_fixture(mcast_channel):
            pass

        def test_here():
            assert os.readlink("/proc/thread-self/ns/net") == os.environ["HERE"]
    """)
    here = "import os, sys; os.environ['HERE'] = os.readlink('/proc/self/ns/net'); os.execvp(sys.argv[1], sys.argv[1:])"
    take_away = [sys.executable, "-c", TAKE_AWAY, "foreign_network", sys.executable, "-c", here]
    result = run_as_user([*take_away, *PYTEST, "-p", "no:randomly"])
    assert result.returncode == 0, result.stdout
    assert "the fixtures lived on lo of this machine" in result.stdout


def test_auto_gives_way_to_an_interface_that_is_named(home: Runner) -> None:
    home.write(FOUR_WAYS)
    result = home([*PYTEST, "-o", "mcast_lab=auto", "--mcast-iface=lo", "-k", "ipv4"])
    _passed(result, 4)
    assert "the fixtures lived on lo of this machine" in result.stdout


def test_remote_workers_are_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--mcast-lab", "-d", "--tx", "socket=192.0.2.1:8888", "--tx", "2*popen")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --mcast-lab and remote workers exclude each other; drop --tx socket=192.0.2.1:8888"]
    )


def test_after_a_usage_error_the_process_is_where_it_was(pytester: pytest.Pytester) -> None:
    if os.geteuid() != 0:
        pytest.skip("mcast: going back is for root; a user namespace cannot be left")
    before = os.readlink("/proc/thread-self/ns/net")
    result = pytester.runpytest_inprocess("--mcast-lab", "--no-such-option", "-p", "no:rerunfailures")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert os.readlink("/proc/thread-self/ns/net") == before


def test_as_root_a_session_inside_a_process_goes_back(pytester: pytest.Pytester) -> None:
    if os.geteuid() != 0:
        pytest.skip("mcast: going back is for root; a user namespace cannot be left")
    before = os.readlink("/proc/thread-self/ns/net")
    pytester.makepyfile("def test_it(mcast_receiver): pass")
    pytester.runpytest_inprocess("--mcast-lab", "-p", "no:randomly", "-p", "no:rerunfailures").assert_outcomes(passed=4)
    assert os.readlink("/proc/thread-self/ns/net") == before
