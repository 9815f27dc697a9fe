"""Runs of pytest inside of tests."""

from __future__ import annotations

import pytest

__all__ = ["HERE", "run_here"]

HERE = ("-p", "no:randomly", "-p", "no:rerunfailures")  # in this process: no thread, no order of its own


def run_here(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in this process, for a third of what one of its own costs.

    It is for runs that have no workers, make no private network, and do not end, change or look at their process.
    """
    return pytester.runpytest_inprocess(*arguments, *HERE)
