"""The kernel's counters of a network namespace: /proc/net/snmp, netstat and snmp6 (RFC 4293, RFC 4113, and its own)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

__all__ = ["Counters", "parse_counters"]

_FILES = ("snmp", "netstat", "snmp6")
# Per-thread files: /proc/net is the main thread's. What they say is of the namespace they were opened in, for good.
_DIRECTORY = "/proc/thread-self/net"


class Counters:
    """The counters of the calling thread's network namespace, to be read from anywhere (about 80 us).

    They are kept as the kernel's text and understood only when somebody asks what has changed.
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        try:
            for name in _FILES:
                try:
                    self._files.append(os.open(f"{_DIRECTORY}/{name}", os.O_RDONLY | os.O_CLOEXEC))
                except FileNotFoundError:  # snmp6, when there is no IPv6
                    continue
            self._mark = self._read()
        except BaseException:  # whatever it is: let go, and pass it on
            self.close()
            raise

    def mark(self) -> None:
        """Count from now on."""
        self._mark = self._read()

    def changes(self) -> Mapping[str, int]:
        """Return what has changed since the mark, by names such as ``Udp.InCsumErrors`` or ``Udp6InErrors``."""
        before, now = (parse_counters([text.decode() for text in texts]) for texts in (self._mark, self._read()))
        changed = {name: value - before.get(name, 0) for name, value in now.items()}
        return {name: change for name, change in changed.items() if change}

    def summary(self) -> str:
        """Say in words what has changed, but for what merely counts bytes and packets; empty when nothing has."""
        return ", ".join(
            f"{name} +{change}"
            for name, change in self.changes().items()
            if not name.endswith(("Octets", "Pkts")) or name.endswith("McastPkts")
        )

    def close(self) -> None:
        """Close the files; again is no error."""
        while self._files:
            os.close(self._files.pop())

    def _read(self) -> list[bytes]:
        return [os.pread(file, 1 << 16, 0) for file in self._files]


def parse_counters(texts: Iterable[str]) -> dict[str, int]:
    """Read the texts of snmp, netstat and snmp6: values by names such as ``Udp.InErrors``, ``Udp6InErrors``."""
    found: dict[str, int] = {}
    for text in texts:
        names: list[str] = []
        for line in text.splitlines():
            words = line.split()
            if not words[0].endswith(":"):  # snmp6: one counter a line
                found[words[0]] = int(words[1])
            elif names and names[0] == words[0]:  # the others: a line of names, then a line of values
                prefix = words[0].replace(":", ".")
                found.update({prefix + name: int(value) for name, value in zip(names[1:], words[1:], strict=True)})
                names = []
            else:
                names = words
    return found
