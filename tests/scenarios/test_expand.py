"""How many cells a file may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcast.scenarios import ScenarioError

from .support import load_text


def test_more_than_a_hundred_thousand_combinations_are_refused_with_the_line_of_the_matrix(tmp_path: Path) -> None:
    names = ", ".join(f"h{number}: virtual" for number in range(100))
    text = f"hosts: {{{names}}}\ntitle: Many\nmatrix:\n  size: [1, 2, 3]\n"
    with pytest.raises(ScenarioError) as error:
        load_text(tmp_path, text)
    assert str(error.value).partition("a.mcast.yaml")[2] == (
        ":3:1: matrix: 120,000 combinations (100 sender x 100 receiver x 2 family x 2 mode x 3 size), and 100,000 are the "
        "most; name fewer, or make several files"
    )
