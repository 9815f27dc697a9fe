"""docs/doctor.md has every check."""

from __future__ import annotations

import re

import pytest

from pytest_mcast.doctor.checks import CHECKS
from pytest_mcast.doctor.machine_checks import CHECKS as MACHINE_CHECKS
from tests.support.checks_table import DOCUMENT, written

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_checks() -> None:
    assert written(TEXT) == TEXT, "python -m tests.support.checks_table --write"


def test_every_check_is_there_once() -> None:
    ids = [check.id for check in CHECKS] + [check.id for check in MACHINE_CHECKS]
    assert re.findall(r"^\| `([a-z]\S+)` \|", TEXT, re.MULTILINE) == ids


def test_a_document_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the checks of flows"):
        written("# The doctor\n")
