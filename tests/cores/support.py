"""Receive cores that are small Python programs, with descriptions."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from pytest_mcast.cores import Description, ExternalCore, read_description

START = """
import os, signal, sys

from pytest_mcast.core import Channel, Receiver

group, port, source, index = sys.argv[1:5]


def say(*words, to=sys.stdout):
    print(*words, file=to, flush=True)


def listen():
    return Receiver(Channel(group, int(port), source or None), int(index), timeout=60)


def tell(datagram):
    say("got", *datagram.source, datagram.payload.hex())


"""
RECEIVE = """
receiver = listen()
say("ready")
while True:
    tell(receiver.recv())
"""
DATAGRAM = r"^got (?P<source>\S+) (?P<source_port>\d+) (?P<payload_hex>[0-9a-f]*)$"


def described(directory: Path, program: str | None = RECEIVE, **keys: Any) -> Description:
    """Write a program and its description, and return what was read; a key that is None is left out."""
    content: dict[str, Any] = {
        "name": "small",
        "kind": "receiver",
        "command": [sys.executable, "{directory}/small.py", "{group}", "{port}", "{source}", "{index}"],
        "ready": "^ready$",
        "datagram": [DATAGRAM],
        **keys,
    }
    if program is not None:
        (directory / "small.py").write_text(START + textwrap.dedent(program))
    path = directory / "small.yaml"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return read_description(path)


def core(directory: Path, program: str | None = RECEIVE, **keys: Any) -> ExternalCore:
    """Return the core of such a description."""
    return ExternalCore(described(directory, program, **keys))
