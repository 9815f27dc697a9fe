"""These run in ``tox -e suites`` only, which brings the suites."""

from __future__ import annotations

import os

collect_ignore_glob = ["aiocoap/*"] if "SUITES" in os.environ else ["*.py"]
