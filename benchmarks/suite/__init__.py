"""The tests that ``benchmarks.fixtures`` runs."""
