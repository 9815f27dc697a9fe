"""``python -m pytest_mcast.core`` is ``pytest-mcast`` with the commands of the core only, where there is nothing else."""

from __future__ import annotations

import sys

from .commands import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
