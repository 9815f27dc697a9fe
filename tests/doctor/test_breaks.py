"""Each cause is made, named by the doctor as the only one that is certain, and cured by what the doctor says."""

from __future__ import annotations

import os
import shutil

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor.checks import CHECKS

from ..support.programs import program
from .breaks import BREAKS, STRAYS
from .scene import Break, Stray, prove, prove_unwanted

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@pytest.mark.parametrize("broken", BREAKS, ids=[broken.id for broken in BREAKS])
def test_the_cause_is_named_and_the_cure_works(mcast_lab: LabView, broken: Break) -> None:
    for need in broken.needs:
        if "/" in need and not os.path.exists(need):
            pytest.skip(f"this kernel has no {need}")
        if "/" not in need and shutil.which(need, path=_PATH) is None:
            program(need)  # which skips, or fails where it should be installed
    prove(mcast_lab, broken)


@pytest.mark.parametrize("stray", STRAYS, ids=[stray.id for stray in STRAYS])
def test_what_should_not_be_delivered_is_explained_and_the_cure_keeps_it_off(mcast_lab: LabView, stray: Stray) -> None:
    prove_unwanted(mcast_lab, stray)


def test_each_check_that_can_be_proved_here_is() -> None:
    unproved = {check.id for check in CHECKS if check.verified} - {broken.check for broken in BREAKS}
    unproved -= {stray.check for stray in STRAYS}
    unproved -= {"network.loses"}  # which takes a network that is not a lab's: test_pair.py
    assert not unproved
