"""Where a remote host is, in the notation of execnet: ``ssh=user@host//python=python3``."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass

__all__ = ["Specification"]

# execnet has the same line; the first thing that comes is ours, though.
_START = "import sys;exec(eval(sys.stdin.readline()))"


@dataclass(frozen=True)
class Specification:
    """How a Python elsewhere is started: by ``ssh`` (its words: options and the host), or on this machine (``popen``)."""

    text: str
    ssh: str | None
    python: str
    ssh_config: str | None = None

    @classmethod
    def parse(cls, text: str) -> Specification:
        """Read one; raises ``ValueError`` for anything else than ssh and popen, and for keys that are not known."""
        values: dict[str, str] = {}
        for part in text.split("//"):
            key, equals, value = part.partition("=")
            if key in values:
                raise ValueError(f"{text!r} has {key!r} twice")
            if key not in ("ssh", "popen", "python", "ssh_config"):
                raise ValueError(f"{text!r} has {key!r}; known are ssh=, popen, python= and ssh_config=")
            if (not value) if key != "popen" else bool(equals):
                raise ValueError(f"{text!r}: {key} takes {'no' if key == 'popen' else 'a'} value")
            values[key] = value
        if ("ssh" in values) == ("popen" in values):
            raise ValueError(
                f"{text!r} says {'both ssh= and' if 'ssh' in values else 'neither ssh= nor'} popen: "
                "write ssh=user@host//python=python3, or popen//python=python3.9 for another Python on this machine"
            )
        if "popen" in values and "ssh_config" in values:
            raise ValueError(f"{text!r} has ssh_config=, which goes with ssh=")
        python = values.get("python") or (sys.executable if "popen" in values else "python3")
        return cls(text, values.get("ssh"), python, values.get("ssh_config"))

    def command(self, connect_timeout: float, silence: float) -> list[str]:
        """Return the words that start the Python: without bytecode files, and an ssh that asks nobody for anything."""
        if self.ssh is None:
            return [*shlex.split(self.python, posix=os.name != "nt"), "-B", "-u", "-c", _START]
        # ssh_config(5). Ours come first, and so they win. An ssh that becomes a master would go on after us.
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(max(1, round(connect_timeout))),
            "ControlMaster": "no",
            "ServerAliveInterval": str(max(1, round(silence / 3))),
            "ServerAliveCountMax": "3",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        config = [] if self.ssh_config is None else ["-F", self.ssh_config]
        return ["ssh", "-C", *config, *words, *self.ssh.split(), f'{self.python} -B -c "{_START}"']

    @property
    def trial(self) -> str:
        """The command that shows a person whether it works."""
        if self.ssh is None:
            return f"{self.python} --version"
        config = "" if self.ssh_config is None else f"-F {self.ssh_config} "
        return f"ssh {config}{self.ssh} {self.python} --version"

    def __str__(self) -> str:
        return self.text
