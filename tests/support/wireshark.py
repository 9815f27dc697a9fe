"""What Wireshark makes of a file: the judge of what we write."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["fields", "tshark"]

_HARMLESS = "Running as user "


def tshark(path: Path, *options: str) -> str:
    """Return what tshark says of a file, which it must read without a complaint; skips where there is no tshark."""
    program = shutil.which("tshark")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("tshark is missing, which .ci/run installs", pytrace=False)
        pytest.skip("tshark is missing; apt-get install tshark")
    result = subprocess.run(
        [program, "-n", "-r", str(path), *options], text=True, capture_output=True, check=False, timeout=60
    )
    complaints = [line for line in result.stderr.splitlines() if not line.startswith(_HARMLESS)]
    assert (result.returncode, complaints) == (0, [])
    return result.stdout


def fields(path: Path, *names: str) -> list[tuple[str, ...]]:
    """Return these fields of each packet."""
    options = [word for name in names for word in ("-e", name)]
    return [tuple(line.split("\t")) for line in tshark(path, "-T", "fields", *options).splitlines()]
