"""Scenario files: what they mean, and how mistakes in them are reported."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_mcast.scenarios import Scenario, ScenarioError, load

SUBJECT = "hosts: {{a: virtual, b: virtual}}\nsubjects: {{x: {}}}\n"
STEPS = "hosts: {{a: virtual, b: virtual}}\nsteps: {{x: [{}]}}\n"
MATRIX = "hosts: {a: virtual, b: local}\nsubjects: {x: {receiver: naive}}\nmatrix:\n"
RULE = "hosts:\n  a: virtual\nrules: [{cells: {mode: asm}, "


def _load(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "a.mcast.yaml"
    path.write_text(textwrap.dedent(text))
    return load(path)


def test_everything_with_everything_is_the_default(tmp_path: Path) -> None:
    scenario = _load(tmp_path, "hosts: {a: virtual, b: virtual}")
    assert len(scenario.cells) == 16
    assert [cell.id for cell in scenario.cells][:3] == ["ipv4-asm[a->a]", "ipv4-ssm[a->a]", "ipv6-asm[a->a]"]


def test_axes_exclude_and_include(tmp_path: Path) -> None:
    scenario = _load(
        tmp_path,
        """
        title: A title
        hosts:
          a: virtual
          b: {virtual: {interface: lo}}
          c: local
        matrix:
          sender: [a, c]
          receiver: [b]
          family: [ipv4]
          exclude:
            - {sender: c, mode: ssm}
          include:
            - {sender: b, receiver: b, family: ipv6, mode: asm}
        """,
    )
    assert [cell.id for cell in scenario.cells] == [
        "ipv4-asm[a->b]",
        "ipv4-ssm[a->b]",
        "ipv4-asm[c->b]",
        "ipv6-asm[b->b]",
    ]
    assert scenario.title == "A title"
    assert [(host.kind, host.interface) for host in scenario.hosts.values()] == [
        ("virtual", "eth0"),
        ("virtual", "lo"),
        ("local", None),
    ]
    assert [cell.line for cell in scenario.cells] == [7, 7, 7, 14]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "1:1", "the file is empty; it must be a mapping that has some of title, notes"),
        ("- a\n- b\n", "1:1", "the file is a list; it must be a mapping"),
        ("hosts: [\n", "2:1", "not YAML: expected the node content, but found '<stream end>'"),
        ("hosts: {a: virtual}\nhosts: {b: virtual}\n", "2:1", "the key 'hosts' is there twice; the first is in line 1"),
        ("title: x\n", "1:1", "the file lacks the key 'hosts'"),
        ("hosts: {}\n", "1:1", "hosts is empty"),
        ("hosts: {a: virtual}\nmatirx: {}\n", "2:1", "the file has no key 'matirx'; did you mean 'matrix'?"),
        (
            "hosts: {a: virtul}\n",
            "1:12",
            "hosts.a: 'virtul' is not allowed; did you mean 'virtual'? allowed: virtual, l",
        ),
        (
            "hosts: {a: {virtual: {interface: eth1}}}\n",
            "1:34",
            "hosts.a.virtual.interface: there is no interface 'eth1'",
        ),
        ("hosts: {a b: virtual}\n", "1:9", "hosts: the name 'a b' is not made of 1 to 40 letters, digits"),
        ("hosts: {a: virtual}\ntitle: 7\n", "2:8", "title: 7 is a number, where a text belongs"),
        (
            "hosts: {a: virtual}\nmatrix:\n  family: [ipv4, ip6]\n",
            "3:18",
            "matrix.family.1: 'ip6' is not allowed; did you m",
        ),
        ("hosts: {a: virtual}\nmatrix:\n  family: ipv4\n", "3:11", "matrix.family: 'ipv4' is a text, where a list"),
        ("hosts: {a: virtual}\nmatrix:\n  mode: []\n", "3:3", "matrix.mode is empty"),
        (
            "hosts: {alpha: virtual}\nmatrix:\n  sender: [alfa]\n",
            "3:12",
            "matrix.sender.0: there is no host 'alfa'; did you",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  exclude:\n    - {sender: b}\n",
            "4:16",
            "matrix.exclude.0.sender: there is no host 'b'; allowed: a",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  mode: [asm]\n  exclude:\n    - {mode: ssm}\n",
            "5:14",
            "matrix.exclude.0.mode: mode 'ssm' matches no cell; did you mean 'asm'? allowed: asm",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  include:\n    - {sender: a, receiver: a, family: ipv4, mode: asm}\n",
            "4:7",
            "matrix.include.0: ipv4-asm[a->a] is a cell already, of line 2",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  exclude:\n    - {sender: a}\n",
            "2:1",
            "no cell is left: everything is excluded",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  include:\n    - {sender: a}\n",
            "4:7",
            "matrix.include.0 lacks the key 'receiver'",
        ),
        # Hosts.
        ("hosts: {a: {}}\n", "1:9", "hosts.a has none of the keys virtual, local, remote, status, where exactly one"),
        ("hosts: {a: {local: {}, virtual: {}}}\n", "1:9", "hosts.a has virtual and local of the keys"),
        ("hosts: {a: {local: {}, interface: x}}\n", "1:24", "hosts.a has 'interface', which needs the key 'remote'"),
        ("hosts: {a: {status: planned}}\n", "1:13", "hosts.a has 'status', which needs the key 'reason'"),
        (
            "hosts: {a: {local: {system: macOS}}}\n",
            "1:29",
            "hosts.a.local.system: 'macOS' is not allowed; did you mean 'mac",
        ),
        ("hosts: {a: {local: {sysctl: {}}}}\n", "1:21", "hosts.a.local has no key 'sysctl'; did you mean 'system'?"),
        ("hosts: {a: {remote: socket=b}}\n", "1:21", "hosts.a.remote: 'socket=b' is not made of ssh=USER@HOST or "),
        ("hosts: {a: {remote: popen//via=b}}\n", "1:21", "hosts.a.remote: 'popen//via=b' has 'via'; known are ssh="),
        (
            "hosts: {a: {virtual: {interfaces: {e: lam}}}}\n",
            "1:39",
            "hosts.a.virtual.interfaces.e: there is no link 'lam'; did",
        ),
        ("hosts: {a: {virtual: {interfaces: {lo: lan}}}}\n", "1:36", "hosts.a.virtual.interfaces.lo: lo is on no link"),
        (
            "hosts: {a: {virtual: {sysctl: {kernel.x: 1}}}}\n",
            "1:32",
            "hosts.a.virtual.sysctl: the name 'kernel.x' is not m",
        ),
        (
            'hosts: {a: {virtual: {sysctl: {net.x: "1\\n"}}}}\n',
            "1:39",
            "hosts.a.virtual.sysctl.net.x: '1\\n' is not made of w",
        ),
        ('hosts: {"a\\n": virtual}\n', "1:9", "hosts: the name 'a\\n' is not made of 1 to 40 letters"),
        ("hosts: {a: 7}\n", "1:12", "hosts.a: 7 is a number, where a text or a mapping belongs"),
        # Links and subjects.
        ("links: {a: {snooping: yes}}\n", "1:23", "links.a.snooping: 'yes' is a text, where true or false belongs"),
        (
            "links: {a: {mtu: 1279}}\nhosts: {a: local}\n",
            "1:18",
            "links.a.mtu: 1279 is not allowed; allowed: 1280 to 65535",
        ),
        (
            "links: {a: {igmp_version: 2, snooping: false}}\nhosts: {a: local}\n",
            "1:13",
            "links.a: igmp_version is that of a q",
        ),
        (SUBJECT.format("{}"), "2:12", "subjects.x has none of the keys receiver, sender, where at least one belongs"),
        (
            SUBJECT.format("{receiver: socatt}"),
            "2:26",
            "subjects.x.receiver: there is no receiver 'socatt'; did you mean 'socat'?",
        ),
        (
            SUBJECT.format("{receiver: os:system}"),
            "2:26",
            "subjects.x.receiver: there is no receiver 'os:system'; allowed: ",
        ),
        (
            SUBJECT.format("{sender: socat}"),
            "2:24",
            "subjects.x.sender: there is no sender 'socat'; did you mean 'socat_send'?",
        ),
        (SUBJECT.format("{receiver: none.yaml}"), "2:26", "subjects.x.receiver: there is no file 'none.yaml'"),
        (
            SUBJECT.format("{receiver: socat, version: old}"),
            "2:42",
            "subjects.x.version: 'old' does not say which versions",
        ),
        # Steps.
        (
            STEPS.format("jion, send"),
            "2:13",
            "steps.x.0: 'jion' is not allowed; did you mean 'join'? allowed: join, send, leave",
        ),
        (STEPS.format("{send: {}, link: up}"), "2:13", "steps.x.0: {'send': {}, 'link': 'up'} has more than one key"),
        (STEPS.format("join"), "2:9", "steps.x sends nothing, so it shows nothing; add the step 'send'"),
        (
            STEPS.format("{send: {arrives: false}}"),
            "2:9",
            "steps.x has nobody join, so it shows nothing; add the step 'j",
        ),
        (STEPS.format("send"), "2:13", "steps.x.0: send 3, delivered: nothing can arrive before a join"),
        (STEPS.format("join, join, send"), "2:19", "steps.x.1: join: it has joined already"),
        (STEPS.format("join, send, leave, leave"), "2:32", "steps.x.3: leave: it has not joined before"),
        (STEPS.format("join, send, {unblock: sender}"), "2:25", "steps.x.2: unblock: it is not blocked before"),
        (STEPS.format("join, {block: b}, send, {block: b}"), "2:37", "steps.x.3: block b: it is blocked already"),
        (
            STEPS.format("join, {block: sender}, send"),
            "2:36",
            "steps.x.2: send 3, delivered: nothing can arrive from a source th",
        ),
        (
            STEPS.format("join, {link: down}, send"),
            "2:33",
            "steps.x.2: send 3, delivered: nothing can arrive while the link i",
        ),
        (STEPS.format("join, send, {link: up}"), "2:25", "steps.x.2: link up: it is up already"),
        (
            STEPS.format("join, {block: c}, send"),
            "2:27",
            "steps.x.1.block: there is no host 'c'; allowed: sender, a, b",
        ),
        (
            STEPS.format("join, {send: {count: 0}}"),
            "2:34",
            "steps.x.1.send.count: 0 is not allowed; allowed: 1 to 1000",
        ),
        (
            "hosts: {a: local}\nsteps: {deliver: [join, send]}\n",
            "2:9",
            "steps.deliver: the name 'deliver' is taken by join",
        ),
        # Ends of cells.
        (MATRIX + "  receiver: [x@a, y@a]\n", "4:19", "matrix.receiver.1: there is no subject 'y'; allowed: x"),
        (MATRIX + "  receiver: [x]\n", "4:14", "matrix.receiver.0: 'x' is a subject, which needs a host: x@a"),
        (MATRIX + "  sender: [x@c]\n", "4:12", "matrix.sender.0: there is no host 'c'; allowed: a, b"),
        (
            MATRIX + "  sender: [x@a]\n  receiver: [a]\n",
            "4:12",
            "matrix.sender.0: 'x@a' is no sender: subjects.x has no key 'sen",
        ),
        (MATRIX + "  sender: [a, b, a]\n", "4:18", "matrix.sender.2: 'a' is there twice"),
        # What cannot be.
        (
            MATRIX + "  scope: [site-local]\n",
            "4:11",
            "matrix.scope.0: 'site-local' with a, a, ipv4, asm: ipv4 asm has no free ",
        ),
        (
            MATRIX + "  mode: [ssm]\n  scope: [global, realm-local]\n",
            "5:19",
            "matrix.scope.1: 'realm-local' with a, a, ipv4, ssm: ipv4 ssm has no free groups of scope realm-local, only of global",
        ),
        (
            MATRIX + "  size: [1, 65508]\n",
            "4:13",
            "matrix.size.1: 65508 with a, a, ipv4, asm: ipv4 carries no more than 65507",
        ),
        (MATRIX + "  size: [65528]\n", "4:10", "matrix.size.0: 65528 is not allowed; allowed: 1 to 65527"),
        (MATRIX + "  ttl: [256]\n", "4:9", "matrix.ttl.0: 256 is not allowed; allowed: 0 to 255"),
        (
            MATRIX + "  steps: [deliver, z]\nsteps: {y: [join, {block: b}, send]}\n",
            "4:20",
            "matrix.steps.1: there is no seq",
        ),
        (
            MATRIX + "  steps: [deliver, y]\nsteps: {y: [join, {block: b}, send]}\n",
            "4:20",
            "matrix.steps.1: 'y' with a, a, ipv4, ssm: the step 'block b' is for mode asm: ssm has one source, and blocks none",
        ),
        (
            MATRIX + "  mode: [asm]\n  steps: [y]\nsteps: {y: [join, send, {link: down}]}\n",
            "5:11",
            "matrix.steps.0: 'y' with a, b, ipv4, asm: the step 'link down' is for receivers on virtual hosts with a link; b: it is l",
        ),
        (
            MATRIX + "  mode: [ssm]\n  steps: [y]\nsteps: {y: [join, {send: {from: b}}]}\n",
            "5:11",
            "matrix.steps.0: 'y' with a, a, ipv4, ssm: the step 'send 3 from b, delivered': mode ssm receives from a only",
        ),
        (
            MATRIX + "  family: [ipv6]\n  include: [{sender: a, receiver: a, family: ipv4, mode: asm, size: 65508}]\n",
            "5:69",
            "matrix.include.0.size: 65508: ipv4 carries no more than 65507 bytes",
        ),
        # Parts and rules.
        (
            MATRIX + "  exclude: [{size: 1}]\n",
            "4:20",
            "matrix.exclude.0.size: size 1 matches no cell; none has a size; name",
        ),
        (
            MATRIX + "  size: [1]\n  exclude: [{size: [1, 2]}]\n",
            "5:24",
            "matrix.exclude.0.size.1: size 2 matches no cell; allow",
        ),
        (
            MATRIX + "  exclude: [{sender: a}, {sender: b, receiver: []}]\n",
            "4:38",
            "matrix.exclude.1.receiver is empty",
        ),
        (
            MATRIX + "  exclude: [{sender: a}]\nrules: [{cells: {sender: a}, marks: [m]}]\n",
            "5:26",
            "rules.0.cells.sender: sender 'a' matches no cell; allowed: b",
        ),
        (
            MATRIX + "  exclude: [{sender: a, mode: ssm}]\nrules: [{cells: {sender: a, mode: ssm}, marks: [m]}]\n",
            "5:10",
            "rules.0.cells: {'sender': 'a', 'mode': 'ssm'} matches no cell",
        ),
        (
            MATRIX + "  ttl: [1]\nrules: [{cells: {ttl: 1}}]\n",
            "5:9",
            "rules.0 says nothing of its cells; add one of expect, ",
        ),
        (RULE + "expect: fail}]\n", "3:38", "rules.0: expect: fail needs the key 'reason'"),
        (RULE + "status: planned}]\n", "3:38", "rules.0: status: planned needs the key 'reason'"),
        (
            RULE + "reason: x}]\n",
            "3:38",
            "rules.0: 'x' is the reason of nothing: neither 'expect' nor 'status' is there",
        ),
        (RULE + "sometimes: true}]\n", "3:30", "rules.0 has 'sometimes', which needs the key 'expect'"),
        (
            RULE + "expect: pass, sometimes: true}]\n",
            "3:55",
            "rules.0: sometimes: true belongs to expect: fail or unsupported",
        ),
        (RULE + "expect: fail, reason: x, status: planned}]\n", "3:55", "rules.0: what is planned has no key 'expect'"),
        (
            RULE + "marks: [xfail]}]\n",
            "3:38",
            "rules.0.marks.0: 'xfail' is a mark with a meaning; use rules with expect",
        ),
        (
            RULE + "marks: [a-b]}]\n",
            "3:38",
            "rules.0.marks.0: 'a-b' is not made of letters, digits and '_', not beginning",
        ),
        (
            RULE + "requires: [package]}]\n",
            "3:41",
            "rules.0.requires.0: 'package' is not allowed; did you mean 'packets'?",
        ),
        ("hosts: {a: local}\nmarks: [skip]\n", "2:9", "marks.0: 'skip' is a mark with a meaning"),
    ],
)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, text: str, where: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        _load(tmp_path, text)
    report = str(caught.value)
    assert report.startswith(f"{tmp_path / 'a.mcast.yaml'}:{where}: {message}"), report
    assert "\n" not in report


def test_bytes_that_are_no_text_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.mcast.yaml"
    path.write_bytes(b"hosts: \xff\xfe")
    with pytest.raises(ScenarioError, match="not YAML"):
        load(path)
