"""A daemon of the old school: forks twice, leads its own session, ignores signals, says ``daemon`` and stays."""

from __future__ import annotations

import os
import signal

if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("daemon", flush=True)
signal.pause()
