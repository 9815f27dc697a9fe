"""``cores.py [--write]``: what known receive cores do, behaviours and conformance cases, in virtual hosts.

With --write all cases are run, and docs/cores.md and docs/conformance.md are written; without it, of each core some of
the four kinds of channel. A program that is not there is left out, except in CI and with --write.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = Path("examples", "cores")
IN_PROCESS = ["builtin", "builtin-asyncio", "naive"]
RECEIVERS = [*IN_PROCESS, "mcrx_recv", "mcrx_recv_meta", "mcrx_tokio_recv", "socat"]
RECEIVERS += [str(EXAMPLES / "go.yaml"), str(EXAMPLES / "node.yaml")]
SENDERS = ["mctx_send", "socat_send", str(EXAMPLES / "go_send.yaml"), str(EXAMPLES / "node_send.yaml")]
# Our own core is run case by case in tests/catalogue. The three of mcrx-core share their sockets' ways. Together these see
# every kind of channel; how a core is started and what it prints is the same for all kinds. The others are seen in the
# behaviours and in scenarios/subjects.mcast.yaml, and here with --write.
CONFORMANCE = {
    "naive": "ipv4 and asm",
    "mcrx_recv": "(ipv4 and ssm) or (ipv6 and asm)",
    str(EXAMPLES / "go.yaml"): "ipv6 and ssm",
}


def main() -> int:
    write = sys.argv[1:] == ["--write"]
    strict = write or bool(os.environ.get("CI"))
    codes = [_behaviours(write=write, strict=strict)]
    with tempfile.TemporaryDirectory() as directory:
        records = [Path(directory, f"{number}.json") for number in range(len(RECEIVERS))]
        kinds = dict.fromkeys(RECEIVERS, "") if write else CONFORMANCE
        for (name, some), record in zip(kinds.items(), records, strict=False):
            codes.append(_conformance(name, record, some, strict=strict))
        if write:
            written = [str(record) for record in records if record.exists()]
            document = _run("report", "conformance", *written, stdout=subprocess.PIPE)
            codes.append(document.returncode)
            (ROOT / "docs" / "conformance.md").write_text(document.stdout, encoding="utf-8")
    return max(codes)


def _behaviours(*, write: bool, strict: bool) -> int:
    options = ["--write", str(Path("docs", "cores.md"))] if write else []
    return _run("cores", *options, *(["--require"] if strict else []), *RECEIVERS, *SENDERS).returncode


def _conformance(core: str, record: Path, kinds: str, *, strict: bool) -> int:
    print(f"conformance of {core}", flush=True)
    command = [sys.executable, "-m", "pytest", "--pyargs", "pytest_mcast.conformance", "-q", "--mcast-lab"]
    command += ["-n", str(2 * (os.cpu_count() or 1))]  # they wait for the kernel and for programs
    command += ["-p", "no:cacheprovider", "--timeout=120", f"--mcast-core={core}", f"--mcast-report={record}", "-rfE"]
    command += ["-m", kinds] if kinds else []
    command += ["--mcast-require=all"] if strict else []
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _run(*words: str, stdout: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_mcast", *words], cwd=ROOT, text=True, stdout=stdout, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
