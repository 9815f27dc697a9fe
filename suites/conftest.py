"""The runners of tests/conftest.py, for these tests too."""

from __future__ import annotations

from tests.conftest import no_threads_left, run, run_as_user

__all__ = ["no_threads_left", "run", "run_as_user"]
