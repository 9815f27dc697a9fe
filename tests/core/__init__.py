"""Tests of ``pytest_mcast.core``, with the standard library only: a bare Python 3.9 runs them with unittest."""
