"""The tables of checks in docs/doctor.md, made of the checks: ``python -m tests.support.checks_table [--write]``.

Without ``--write`` exit code 1 says that they are not as they should be.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from pytest_mcast.doctor.check import Check
from pytest_mcast.doctor.checks import CHECKS
from pytest_mcast.doctor.machine_check import MachineCheck
from pytest_mcast.doctor.machine_checks import CHECKS as MACHINE_CHECKS

DOCUMENT = Path(__file__).parents[2] / "docs" / "doctor.md"
_HEAD = "| check | cause | read | privilege | verified |\n|---|---|---|---|---|\n"
_PLACE = re.compile(r"\{(\w*)[^}]*\}")
_SYSTEMS = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}


def table(checks: Iterable[Check | MachineCheck]) -> str:
    """Return the rows of some checks, in their order, below the head."""
    return _HEAD + "".join(f"{_row(check)}\n" for check in checks)


def _row(check: Check | MachineCheck) -> str:
    # What a template leaves open is written as a placeholder; a bar would be the end of the cell.
    sentence = _PLACE.sub(lambda found: f"*{found[1] or '...'}*", check.sentence).replace("|", "\\|")
    systems = ", ".join(_SYSTEMS.get(each, each) for each in check.systems)
    verified = "yes" if check.verified else "no"
    if check.systems != ("linux",):
        verified += f" ({systems})"
    reads = "; ".join(check.reads).replace("*", "\\*").replace("|", "\\|")
    return f"| `{check.id}` | {sentence} | {reads} | {check.privilege or 'none'} | {verified} |"


def written(text: str) -> str:
    """Return the text of the document with its tables as they should be; raises ``ValueError`` without their places."""
    for name, checks in (("flows", CHECKS), ("machine", MACHINE_CHECKS)):
        start, end = f"<!-- checks of {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{DOCUMENT.name} has no place for the checks of {name}")
        text = f"{before}{start}\n{table(checks)}\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    """Write the tables, or look whether they are right."""
    text = DOCUMENT.read_text(encoding="utf-8")
    wanted = written(text)
    if arguments == ["--write"]:
        DOCUMENT.write_text(wanted, encoding="utf-8")
        return 0
    return int(text != wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
