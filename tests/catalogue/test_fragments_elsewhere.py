"""Fragments on two interfaces: what is judged is what the kernel makes of them."""

from __future__ import annotations

import pytest

from pytest_mcast import Delivered, LabView, NotReceived
from pytest_mcast.catalogue.fragments_elsewhere import on_two_interfaces
from pytest_mcast.cores.behaviours import Bench
from pytest_mcast.cores.builtin import BuiltInCore
from pytest_mcast.packets import deliver, drop


@pytest.mark.parametrize("mode", ["asm", "ssm"])
def test_ipv4_puts_them_together_and_ipv6_does_not(mcast_lab: LabView, mode: str) -> None:
    with Bench(BuiltInCore(), mcast_lab, "ipv4", mode) as bench:
        on_two_interfaces((1,), (0, 2), deliver())(bench)
        with pytest.raises(Delivered):
            on_two_interfaces((1,), (0, 2), drop())(bench)
        with pytest.raises(NotReceived):
            on_two_interfaces((1,), (0,), deliver())(bench)
    with Bench(BuiltInCore(), mcast_lab, "ipv6", mode) as bench:
        on_two_interfaces((1,), (0, 2), drop())(bench)
