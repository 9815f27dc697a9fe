"""Runs the tests of ``core/`` on a Python 3.9 without packages, in a private network.

Without a python3.9 on the path that is said and, except in CI, not an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    python = shutil.which("python3.9")
    if python is None or subprocess.run([python, "-c", "pass"], check=False).returncode != 0:
        print("core39: there is no python3.9 on the path, so the tests of core/ on it are SKIPPED")
        return 1 if os.environ.get("CI") else 0
    with tempfile.TemporaryDirectory() as directory:
        # A copy, so that nothing but these two packages can be imported.
        for name in ("pytest_mcast", "tests/core"):
            shutil.copytree(ROOT / name, Path(directory, name), ignore=shutil.ignore_patterns("__pycache__"))
        Path(directory, "tests", "__init__.py").touch()
        tests = [python, "-I", "-W", "error", "-c", RUN, directory]
        return subprocess.run([sys.executable, "-m", "pytest_mcast", "run", "--", *tests], check=False).returncode


RUN = """
import sys, unittest
sys.path.insert(0, sys.argv[1])
suite = unittest.defaultTestLoader.discover(sys.argv[1] + "/tests/core", top_level_dir=sys.argv[1])
result = unittest.TextTestRunner(verbosity=1).run(suite)
print("skipped:", *(f"{test}: {reason}" for test, reason in result.skipped), sep="\\n  ")
sys.exit(not result.wasSuccessful() or bool(result.skipped) or not result.testsRun)
"""

if __name__ == "__main__":
    sys.exit(main())
