"""What a matrix of a thousand cells costs: each cell beside an empty test, and its file beside its YAML."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from pytest_mcast.scenarios import load

from .harness import Times, benchmark, interleave
from .places import need_namespaces, python

RECEIVERS, SENDERS, KINDS = 25, 10, 4
CELLS = RECEIVERS * SENDERS * KINDS
WORKERS = 2
EMPTY = f"""
import pytest

@pytest.mark.parametrize("number", range({CELLS}))
def test_empty(number):
    pass
"""


def _hosts() -> str:
    return "hosts:\n" + "".join(f"  h{number}: virtual\n" for number in range(RECEIVERS))


def _as_a_product() -> str:
    """Say it as people do: every combination."""
    senders = ", ".join(f"h{number}" for number in range(SENDERS))
    return f"{_hosts()}matrix:\n  sender: [{senders}]\n"


def _one_by_one() -> str:
    """Say it as programs may: a line for each cell, beside a matrix of the first one."""
    cells = [
        f"{{sender: h{sender}, receiver: h{receiver}, family: {family}, mode: {mode}}}"
        for sender in range(SENDERS)
        for receiver in range(RECEIVERS)
        for family in ("ipv4", "ipv6")
        for mode in ("asm", "ssm")
    ]
    matrix = "  sender: [h0]\n  receiver: [h0]\n  family: [ipv4]\n  mode: [asm]\n"
    return f"{_hosts()}matrix:\n{matrix}  include:\n" + "".join(f"    - {cell}\n" for cell in cells[1:])


@benchmark(
    f"A cell of {CELLS:,} between {RECEIVERS} virtual hosts, `pytest -n {WORKERS}`, whole run",
    beside=f"one of {CELLS:,} empty tests, the same",
)
def matrix() -> Times:
    need_namespaces()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "thousand.mcast.yaml").write_text(_as_a_product())
        (folder / "test_empty.py").write_text(EMPTY)

        def seconds(*words: str) -> float:
            start = perf_counter()
            python("-m", "pytest", "-q", "-p", "xdist", "-p", "no:cacheprovider", f"-n{WORKERS}", *words, cwd=folder)
            return (perf_counter() - start) / CELLS

        # Once in a pass: a thousand of them level out what a pair of single ones would not.
        cells = seconds("-p", "mcast", "--mcast-lab", "--mcast-require=all", "thousand.mcast.yaml")
        return Times([cells], [seconds("test_empty.py")])


FORMS: dict[str, Callable[[], str]] = {"product": _as_a_product, "list": _one_by_one}


@benchmark(
    f"`load` of a file of {CELLS:,} cells, written as a {{}}",
    beside="its YAML read by ruamel.yaml, nothing checked",
    each=tuple(FORMS),
)
def load_file(form: str) -> Times:
    from ruamel.yaml import YAML

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "thousand.mcast.yaml")
        path.write_text(FORMS[form]())

        def ours() -> None:
            found = len(load(path).cells)
            if found != CELLS:
                raise RuntimeError(f"{path}: {found} cells instead of {CELLS}")

        return interleave(ours, lambda: YAML().load(path))
