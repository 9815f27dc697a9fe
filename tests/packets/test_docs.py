"""docs/proofs.md lists the cases there are."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_mcast.packets import CASES

ROOT = Path(__file__).parents[2]


def test_the_table_of_cases_is_complete() -> None:
    rows = re.findall(
        r"^\| `([\w.-]+)` \| (.*) \| (yes|no) \| (.*) \|$", (ROOT / "docs/proofs.md").read_text(), re.MULTILINE
    )
    assert rows == [(case.id, case.reason, "yes" if case.delivered else "no", case.reference) for case in CASES]
