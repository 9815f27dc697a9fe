"""Bursts beside the programs that people send them with, between two hosts of the same network."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import ExitStack
from time import perf_counter

from pytest_mcast import Channel, Lab, VirtualHost

from .harness import PAIRS, Skip, Times, benchmark
from .places import need_namespaces

SIZE = 1200  # bytes of payload
COUNT = 50_000
_SENT = re.compile(r"0\.0+-(\d+\.\d+) sec")
_DATAGRAMS = re.compile(r"Sent (\d+) datagrams")


@benchmark("Datagram of 1,200 bytes sent by `sender.burst()`, and by {}", beside="by that", each=("iperf2", "socat"))
def burst(program: str) -> Times:
    need_namespaces()
    name = {"iperf2": "iperf"}.get(program, program)
    if shutil.which(name) is None:
        raise Skip(f"there is no program {name}")
    times = Times()
    with Lab() as lab, ExitStack() as stack:
        tx, rx = lab.hosts(2)
        channel = lab.channel()
        receiver = stack.enter_context(rx.receiver(channel))
        sender = stack.enter_context(tx.sender(channel))
        for _ in range(PAIRS):
            with receiver.drain() as drain:
                sent = sender.burst(COUNT, SIZE)
                drain.account(sent)
            times.ours.append(sent.seconds / sent.count)
            times.beside.append((_iperf if program == "iperf2" else _socat)(tx, channel))
    return times


def _iperf(host: VirtualHost, channel: Channel) -> float:
    """Return the seconds for one of the datagrams that iperf sends in a second, as fast as it can."""
    options = ["-u", "-l", str(SIZE), "-b", "100G", "-t", "1", "-T", "1"]
    program = host.popen(["iperf", "-c", channel.group, "-p", str(channel.port), *options])
    if program.wait() != 0:
        raise Skip(f"iperf failed: {program.stderr}")
    output = "\n".join(program.stdout)
    seconds, datagrams = _SENT.search(output), _DATAGRAMS.search(output)
    if seconds is None or datagrams is None:
        raise Skip(f"iperf says nothing that is understood: {output!r}")
    return float(seconds[1]) / int(datagrams[1])


def _socat(host: VirtualHost, channel: Channel) -> float:
    """Return the seconds for one datagram of socat, its start (some ms) included."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(SIZE * COUNT))
        file.flush()
        to = f"UDP4-DATAGRAM:{channel.group}:{channel.port}"
        started = perf_counter()
        program = host.popen(["socat", "-u", "-b", str(SIZE), file.name, to])
        if program.wait() != 0:
            raise Skip(f"socat failed: {program.stderr}")
        return (perf_counter() - started) / COUNT
