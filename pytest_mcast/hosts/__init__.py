"""Places where endpoints live: this machine, others that are reached by ssh, and the base of all hosts."""

from __future__ import annotations

from .endpoints import RemoteReceiver, RemoteSender
from .host import Host, Task
from .local import LocalHost
from .programs import RemoteProgram
from .remote import RemoteHost

__all__ = ["Host", "LocalHost", "RemoteHost", "RemoteProgram", "RemoteReceiver", "RemoteSender", "Task"]
