"""Scenario files for tests."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pytest_mcast.scenarios import Scenario, load

__all__ = ["COMMON", "FULL", "load_text", "write_full"]

#: What ``FULL`` includes.
COMMON = """\
hosts: {three: virtual}
subjects: {bare: {receiver: naive}}
"""

#: Has every key of the schema (a test compares).
FULL = """\
title: Everything
notes: Text above the tables.
include: [common.yaml]
requires: [ipv4-ssm]
marks: [slow]
links:
  quiet:
    snooping: true
    igmp_version: 2
    mld_version: 1
    mtu: 1400
    impair:
      r1: {loss: {every: 5}, duplicate: {exactly: [2, 5]}, reorder: 0.1, corrupt: 1, delay: [0.01, 0.02], rate: 1e6, seed: 7}
  side: {}
routers:
  r1: {interfaces: {eth0: quiet, eth1: lan, eth2: side}}
hosts:
  one: virtual
  two:
    virtual:
      interface: eth1
      interfaces: {eth0: quiet, eth1: lan}
      sysctl: {net.ipv4.conf.all.force_igmp_version: 2}
    requires: [packets]
    notes: The second.
  here: local
  linux: {local: {interface: eth0, system: linux}}
  mac: {remote: "ssh=me@mac.example//python=python3", interface: en0}
  android: {status: planned, reason: no device yet}
subjects:
  mcrx: {receiver: mcrx_recv, sender: mctx_send, version: ">=0.2", requires: [programs], notes: In Rust.}
steps:
  rejoin:
    - join
    - send
    - leave
    - send: {arrives: false}
    - join
    - send: {count: 1}
    - link: down
    - send: {from: three, arrives: false}
    - link: up
  blocking:
    - join
    - block: sender
    - send: {arrives: false}
    - unblock: sender
    - send
    - block: three
    - send: {from: three, arrives: false}
matrix:
  sender: [mcrx@one]
  receiver: [two, mcrx@two]
  family: [ipv4, ipv6]
  mode: [asm, ssm]
  scope: [site-local, global]
  size: [10, 1472]
  ttl: [7]
  loopback: [true]
  steps: [deliver, rejoin, blocking]
  exclude:
    - {family: ipv4, scope: site-local}
    - {mode: ssm, steps: blocking}
    - {sender: mcrx@one, receiver: mcrx@two, size: 10, ttl: 7, loopback: true, family: ipv6}
  include:
    - sender: one
      receiver: bare@two
      family: ipv6
      mode: asm
      scope: site-local
      size: 20
      ttl: 3
      loopback: false
      steps: rejoin
      expect: fail
      reason: a finding
      sometimes: true
      requires: [namespaces]
      marks: [odd]
      notes: A note.
    - {sender: one, receiver: android, family: ipv4, mode: ssm, status: planned, reason: later}
    - {sender: one, receiver: linux, family: ipv4, mode: ssm, expect: unsupported}
rules:
  - {cells: {sender: mcrx@one, receiver: two, family: ipv4, mode: asm, scope: global}, notes: Of these.}
  - {cells: {size: [10, 1472], ttl: 7, loopback: [true, false], steps: rejoin}, marks: [long], requires: [namespaces]}
  - {cells: {receiver: mcrx@two, size: 1472}, expect: fail, reason: too large, sometimes: true}
  - {cells: {receiver: mcrx@two, size: 10}, expect: unsupported}
  - {cells: {receiver: mcrx@two, size: 10, steps: rejoin}, expect: pass}
  - {cells: {ttl: 7, steps: blocking}, status: planned, reason: not yet}
"""


def load_text(directory: Path, text: str) -> Scenario:
    """Load a file with this text."""
    path = directory / "a.mcast.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8", newline="")
    return load(path)


def write_full(directory: Path, text: str = FULL) -> Path:
    """Write ``FULL``, or what became of it, beside what it includes."""
    (directory / "common.yaml").write_text(COMMON)
    path = directory / "full.mcast.yaml"
    path.write_text(text)
    return path
