"""Programs of the system that are asked what no file says."""

from __future__ import annotations

import os
import subprocess
from typing import Sequence

__all__ = ["answer"]

_SECONDS = 15.0  # PowerShell takes one to start, and more when it is the first


def answer(command: Sequence[str], seconds: float = _SECONDS) -> str:
    """Return what a program prints, in the language of programs; raises ``OSError`` with the reason.

    ``ChildProcessError``: it has failed; ``TimeoutError``: it goes on; ``FileNotFoundError``: there is none.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    name = os.path.basename(command[0])
    try:
        # The working directory may be one that is gone, or that the program may not enter.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            env=environment,
            cwd=os.sep,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{name} has not answered within {seconds:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        raise ChildProcessError(f"{' '.join((name, *command[1:3]))} failed: {said or done.returncode}")
    return done.stdout.decode("utf-8", "replace")
