"""``python -m pytest_mcast`` is ``pytest-mcast``."""

from __future__ import annotations

import sys

from pytest_mcast.cli import main

sys.exit(main())
