"""``same_verdicts.py [TIMES [CORE...]]``: the conformance suite again and again, all cores busy; every verdict must be the same.

Default: 20 times, the built-in core. Half of the rounds are an ordinary user's, if this is root. Ends at the first difference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # this program imports nothing else of the project

from tests.support.soak import SUPPORT, busy_cores


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for core in sys.argv[2:] or ["builtin"]:
        with tempfile.TemporaryDirectory(prefix="pytest-mcast-") as directory, busy_cores():
            os.chmod(directory, 0o777)  # noqa: S103 - nobody writes there, too
            first: dict[str, str] = {}
            for number in range(times):
                found = _run(core, directory, as_user=bool(number % 2) and os.geteuid() == 0)
                first = first or found
                different = {
                    one: (first.get(one), found.get(one)) for one in first | found if first.get(one) != found.get(one)
                }
                if different or not found:
                    print(f"same_verdicts: {core}, round {number + 1} of {times}: {different or 'nothing was run'}")
                    return 1
            print(f"same_verdicts: {core}: {len(first)} verdicts, {times} times the same, all cores busy")
    return 0


def _run(core: str, directory: str, *, as_user: bool) -> dict[str, str]:
    """Return the outcome of each test by its node id."""
    record = Path(directory, "record.json")
    record.unlink(missing_ok=True)
    start = [sys.executable, str(SUPPORT / "as_user.py")] if as_user else []
    command = [*start, sys.executable, "-m", "pytest", "--pyargs", "pytest_mcast.conformance", "-q", "-n", "auto"]
    command += ["-p", "no:cacheprovider", "--mcast-lab", f"--mcast-core={core}", f"--mcast-report={record}"]
    result = subprocess.run(command, cwd=directory, text=True, capture_output=True, check=False, timeout=900)
    if not record.exists():
        print(result.stdout + result.stderr)
        return {}
    cells = json.loads(record.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["outcome"] in ("fail", "error") and cell["expectation"] == "pass":
            print(f"{cell['nodeid']}: {cell['outcome']}: {cell['reason']}")
    return {cell["nodeid"].rpartition("::")[2]: cell["outcome"] for cell in cells}


if __name__ == "__main__":
    sys.exit(main())
