"""A switch that snoops has heard of what a receiver changes, and is done with what came before, when the next step begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcast import Lab
from pytest_mcast.wire import Listener, Query, Report, Tap

from .stages import Play

TEXT = """\
links: {{hall: {{snooping: true}}}}
hosts: {{one: {{virtual: {{interfaces: {{eth0: hall}}}}}}, two: {{virtual: {{interfaces: {{eth0: hall}}}}}}}}
steps: {{them: [join, {{block: sender}}, {{unblock: sender}}, send]}}
matrix: {{sender: [one], receiver: [two], family: [{family}], mode: [asm], steps: [them]}}
"""


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_source_is_unblocked_when_the_switch_asks_for_it_no_more(tmp_path: Path, family: str) -> None:
    with Lab() as lab:
        with lab.switch_namespace:
            tap = Tap()
        with Listener("the switch", tap, lab.host().querier, Tap.close) as wire:
            play = Play(lab, tmp_path, TEXT.format(family=family), (), 5.0)
            play()
            messages = wire.messages
        play.close()
    reports = [message for message in messages if isinstance(message, Report)]
    blocked, allowed = (
        next(report for report in reports if any(record.type in types and record.sources for record in report.records))
        for types in (("BLOCK_OLD_SOURCES", "CHANGE_TO_EXCLUDE_MODE"), ("ALLOW_NEW_SOURCES",))
    )
    # After 0.2 s the source is blocked, and after 0.2 s without a question none is due. What is asked before the change is answered
    # after it within 0.1 s: the switch would then forget the source, and drop what it sends.
    assert allowed.after(blocked) > 0.39
    # When the receiver leaves at the end of the cell, the switch asks for the source again.
    asked = [message for message in messages if isinstance(message, Query) and message.sources]
    assert all(allowed.after(query) > 0.19 for query in asked if query.timestamp_ns < allowed.timestamp_ns)
