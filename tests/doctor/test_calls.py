"""What the doctor says of refused calls beside the causes that are made in ``breaks``."""

from __future__ import annotations

import errno
import os
import re
import sys
from dataclasses import replace

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor import Facts, Observation, Party, diagnose
from pytest_mcast.evidence import Reading, Snapshot

from .breaks.plain_sender import plain_socket
from .scene import Scene

_CODES = ("EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "EAGAIN", "EHOSTUNREACH", "EINVAL", "EMSGSIZE", "ENETUNREACH",
          "ENOBUFS", "ENODEV", "ENOMEM", "EPERM")  # fmt: skip
# What follows from the code alone, where everything else is as it should be.
_BY_THE_CODE = {
    ("ipv4", "join", "ENODEV"): "address.foreign",
    ("ipv4", "open", "EADDRNOTAVAIL"): "address.foreign",
    ("ipv6", "open", "EADDRNOTAVAIL"): "address.foreign",
}


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_where_nothing_is_wrong_no_code_has_a_certain_cause(mcast_lab: LabView, family: str) -> None:
    scene = Scene(mcast_lab, family)
    found = {}
    with Observation(scene.tx, scene.rx) as observation:
        for call in ("join", "open", "send"):
            flow = observation.flow(
                scene.channel, sender=Party(scene.tx), receiver=Party(scene.rx), call=call, error=OSError(), size=32
            )
            for code in _CODES:
                error = OSError(getattr(errno, code), "refused")
                diagnosis = diagnose(replace(flow, error=error))
                certain = [each.check for each in diagnosis.findings if each.confidence == "certain"]
                if certain:
                    found[family, call, code] = certain
    assert found == {key: [check] for key, check in _BY_THE_CODE.items() if key[0] == family}


def test_who_has_the_port_is_named(mcast_lab: LabView) -> None:
    scene = Scene(mcast_lab)
    mine = plain_socket(scene.rx, "ipv4")
    with mine:
        mine.bind(("", scene.channel.port))
        (finding, *_) = scene.fails().findings
        assert f", this process, user {os.geteuid()})" in finding.cause
    scene.works()
    code = f"import socket as s; a = s.socket(type=s.SOCK_DGRAM); a.bind(('', {scene.channel.port})); print(1); input()"
    program = scene.rx.popen([sys.executable, "-uc", code], ready="1", stdin=True)
    (finding, *_) = scene.fails().findings
    assert finding.check == "port.taken"
    assert re.search(r"\(python\S*, PID \d+, user \d+\)", finding.cause), finding.cause
    program.stop()


def test_a_packet_filter_that_cannot_be_read_is_said(mcast_lab: LabView) -> None:
    scene = Scene(mcast_lab)
    scene.sh(
        scene.tx, "nft add table inet t; nft 'add chain inet t o { type filter hook output priority 0; policy drop; }'"
    )
    flow = scene.fails().flow
    assert flow.sender is not None
    readings = {**flow.sender.facts.snapshot.readings, "firewall": Reading(refused="nft is not installed")}
    sender = replace(flow.sender, facts=Facts(Snapshot("linux", readings)))
    diagnosis = diagnose(replace(flow, sender=sender))
    assert [(each.check, each.confidence) for each in diagnosis.findings] == [("firewall.unknown", "likely")]
    assert diagnosis.unchecked["firewall.output"] == "firewall: nft is not installed"
