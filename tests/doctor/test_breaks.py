"""Each cause is made, named by the doctor as the only one that is certain, and cured by what the doctor says."""

from __future__ import annotations

import os
import shutil

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor.checks import CHECKS

from .breaks import BREAKS
from .scene import Break, prove


@pytest.mark.parametrize("broken", BREAKS, ids=[broken.id for broken in BREAKS])
def test_the_cause_is_named_and_the_cure_works(mcast_lab: LabView, broken: Break) -> None:
    for program in broken.needs:
        if shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is None:
            pytest.skip(f"needs the program {program}")
    prove(mcast_lab, broken)


def test_each_check_that_can_be_proved_here_is() -> None:
    unproved = {check.id for check in CHECKS if check.verified} - {broken.check for broken in BREAKS}
    assert not unproved
