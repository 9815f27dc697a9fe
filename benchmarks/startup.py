"""What the plugin costs a suite that does not use it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .harness import Times, benchmark, interleave
from .places import python


@benchmark("`pytest --collect-only -q` of one empty test", beside="the same with `-p no:mcast`")
def start_up() -> Times:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "pytest.ini").write_text("[pytest]\n")
        (project / "test_empty.py").write_text("def test_empty():\n    pass\n")

        def collect(plugin: str) -> None:
            python("-m", "pytest", "--collect-only", "-q", "-p", plugin, cwd=project)

        return interleave(lambda: collect("mcast"), lambda: collect("no:mcast"), pairs=8)


@benchmark('`python -c "import pytest_mcast"`', beside='`python -c ""`')
def import_package() -> Times:
    return interleave(lambda: python("-c", "import pytest_mcast"), lambda: python("-c", ""))
