"""Shared by the tests: where the programs are."""

from __future__ import annotations

import os
import shutil

import pytest

from pytest_mcast import MissingCapability


@pytest.fixture(scope="session")
def program():
    """Function that finds a program; without it a test is skipped, or fails with ``--mcast-require=programs``."""

    def find(name, package):
        path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")  # where daemons are, for ordinary users too
        if path is None:
            raise MissingCapability("programs", f"there is no program {name}", f"apt-get install {package}")
        return path

    return find
