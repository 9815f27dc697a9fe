"""What runs at a remote host, one agent for each connection: it opens receivers and senders there, and asks them.

Both ends have the same source, so both pack and unpack values here. What crosses the connection are plain types only.
"""

from __future__ import annotations

import dataclasses
import errno
import importlib
import operator
import os
import platform
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple, Union

from .channels import Channel
from .datagrams import Datagram
from .deadline import Deadline
from .groups import ChannelPicker
from .interfaces import Interface
from .receiver import Receiver
from .running import Guard, Running
from .sender import Sender

__all__ = [
    "Agent",
    "Pipe",
    "describe_error",
    "facts",
    "pack",
    "read_text",
    "rebuild_error",
    "serve",
    "unpack",
]

_CLASS = "\0class"  # no field and no reason is called that
_BYTES = "\0bytes"


class Pipe(Protocol):
    """What an agent needs of execnet's channel."""

    def send(self, item: object) -> None:
        """Send plain data."""

    def receive(self) -> Any:
        """Return the next item; raises ``EOFError`` when the connection is gone."""


def serve(pipe: Pipe, silence: float) -> None:
    """Do what is asked for until the connection is gone, or nothing was heard for ``silence`` seconds; end the process.

    All that was opened and started here ends before.
    """
    code = 0
    agent = Agent(pipe.send)
    heard = threading.Event()
    # A thread of its own: the network between us may be gone without a word, and then even an answer may wait for ever.
    threading.Thread(target=_watch, args=(agent, heard, silence), daemon=True).start()
    try:
        pipe.send(pack(facts()))
        while True:
            request = pipe.receive()
            heard.set()
            agent.handle(*request)
    except EOFError:
        pass  # the other end is gone
    except OSError:  # nobody takes the answers
        code = 1
    except BaseException:  # noqa: BLE001 - the last thing that anybody hears of it
        traceback.print_exc()
        code = 1
    finally:
        agent.close()
        os._exit(code)  # a thread that waits for datagrams, or to be heard, holds up nothing


def _watch(agent: Agent, heard: threading.Event, silence: float) -> None:
    while heard.wait(silence):
        heard.clear()
    agent.close()
    os._exit(1)


class Agent:
    """The receivers, senders and programs of one connection, each known by a number."""

    def __init__(self, send: Callable[[Tuple[int, bool, Any]], object]) -> None:
        self._send = send
        self._things: Dict[int, Any] = {}
        self._opened = 0
        self._guard = Guard()
        self._picker = ChannelPicker(os.urandom(16))

    def handle(self, number: int, method: str, arguments: Tuple[Any, ...], waits: bool) -> None:
        """Answer a request by its number; in a thread of its own if it ``waits`` for something to happen here."""
        if waits:
            threading.Thread(target=self._answer, args=(number, method, arguments), daemon=True).start()
        else:
            self._answer(number, method, arguments)

    def close(self) -> None:
        """Close everything."""
        for thing in list(self._things.values()):
            with suppress(Exception):  # the next one must be closed, too
                thing.close()
        self._things.clear()
        self._guard.close()

    def ping(self) -> None:
        """Do nothing: that there is an answer is the answer."""

    def function(self, where: str, *arguments: Any) -> Any:
        """Call a function ``module:name`` of this package."""
        module, _, name = where.partition(":")
        found: Any = operator.attrgetter(name)(importlib.import_module(module))
        return found(*arguments)

    def pick(self, family: str, scope: Optional[str], source: Optional[str], interface: Interface) -> Channel:
        """Return a channel whose port is free here; see ``ChannelPicker.pick``."""
        return self._picker.pick(family, scope, source=source, interface=interface)

    def receiver(self, channel: Channel, options: Dict[str, Any]) -> Dict[str, Any]:
        """Open a receiver."""
        opened = Receiver(channel, **options)
        number = self._keep(opened)
        return {
            "number": number,
            "channel": opened.channel,
            "interface": opened.interface,
            "receive_buffer": opened.receive_buffer,
            "evidence": opened.evidence,
            **self._membership(opened),
        }

    def change(self, number: int, action: str, *arguments: Any) -> Dict[str, Any]:
        """Join, leave, block and so on; return what the subscription is then."""
        receiver: Receiver = self._things[number]
        getattr(receiver.subscription, action)(*arguments)
        return self._membership(receiver)

    def take(self, number: int, count: int, timeout: Optional[float]) -> List[Datagram]:
        """Return the next ``count`` datagrams, fences too, or those that came within ``timeout`` seconds."""
        receiver: Receiver = self._things[number]
        deadline = Deadline(timeout)
        taken: List[Datagram] = []
        while len(taken) < count:
            datagram = receiver._next(deadline)  # noqa: SLF001 - fences are sorted out at the other end
            if datagram is None:
                break
            taken.append(datagram)
        return taken

    def sender(self, channel: Channel, options: Dict[str, Any]) -> Dict[str, Any]:
        """Open a sender."""
        opened = Sender(channel, **options)
        number = self._keep(opened)
        return {
            "number": number,
            "interface": opened.interface,
            "source": opened.source,
            "ttl": opened.ttl,
            "loopback": opened.loopback,
            "send_buffer": opened.send_buffer,
        }

    def program(self, command: List[str], options: Dict[str, Any]) -> Dict[str, Any]:
        """Start a program."""
        started = Running(command, guard=self._guard, **options)
        return {"number": self._keep(started), "pid": started.pid}

    def ask(self, number: int, what: str, *arguments: Any) -> Any:
        """Call a method of something that is open here, or return an attribute of it."""
        found = operator.attrgetter(what)(self._things[number])
        return found(*arguments) if callable(found) else found

    def drop(self, number: int) -> None:
        """Close something and forget it; again is no error."""
        thing = self._things.pop(number, None)
        if thing is not None:
            thing.close()

    def _keep(self, thing: Union[Receiver, Sender, Running]) -> int:
        self._opened += 1
        self._things[self._opened] = thing
        return self._opened

    def _membership(self, receiver: Receiver) -> Dict[str, Any]:
        subscription = receiver.subscription
        return {"state": subscription.state, "sources": subscription.sources, "blocked": subscription.blocked}

    def _answer(self, number: int, method: str, arguments: Tuple[Any, ...]) -> None:
        try:
            answer = number, True, pack(getattr(self, method)(*unpack(arguments)))
        except Exception as error:  # noqa: BLE001 - it is raised at the other end
            answer = number, False, describe_error(error)
        with suppress(OSError):  # the connection is gone, as the main thread will notice
            self._send(answer)


def facts() -> Dict[str, str]:
    """Say what this machine is, in a few words each."""
    systems = {"Darwin": "macOS"}
    release = platform.mac_ver()[0] if sys.platform == "darwin" else platform.release()
    return {
        "system": systems.get(platform.system(), platform.system()),
        "release": release,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "pid": str(os.getpid()),
    }


def read_text(path: str) -> str:
    """Return what is in a file; raises ``OSError``."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def pack(value: Any) -> Any:
    """Return the same in plain types; a dataclass is a tuple of a mark, its name and its fields.

    So is a text that is none in Unicode (the name of an interface is whatever bytes it was given, PEP 383).
    """
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        return (_BYTES, value.encode("utf-8", "surrogatepass"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = f"{type(value).__module__}:{type(value).__qualname__}"
        return (_CLASS, kind, *((each.name, pack(getattr(value, each.name))) for each in dataclasses.fields(value)))
    if isinstance(value, dict):
        return {pack(key): pack(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(pack(each) for each in value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value


def unpack(value: Any) -> Any:
    """Return what was packed."""
    if isinstance(value, dict):
        return {unpack(key): unpack(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        made = type(value)(unpack(each) for each in value)
        if isinstance(made, tuple) and made[:1] == (_BYTES,):
            return str(made[1], "utf-8", "surrogatepass")
        return _made(*made[1:]) if isinstance(made, tuple) and made[:1] == (_CLASS,) else made
    return value


def describe_error(error: BaseException) -> Dict[str, Any]:
    """Return an exception in plain types. The number of an errno is a matter of the system, its name is not."""
    plain = (str, int, float, bool, type(None))
    arguments = [each if isinstance(each, plain) else str(each) for each in error.args]
    if isinstance(error, OSError) and error.filename is not None:
        arguments.append(str(error.filename))
    return {
        "kind": f"{type(error).__module__}:{type(error).__qualname__}",
        "arguments": arguments,
        "errno": errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None,
        "text": str(error),
        "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    }


def rebuild_error(described: Dict[str, Any]) -> Exception:
    """Return the exception; a ``RuntimeError`` with its traceback if it is none that this end knows."""
    module, _, name = described["kind"].partition(":")
    arguments = list(described["arguments"])
    code = getattr(errno, described["errno"] or "", None)
    if code is not None and len(arguments) >= 2:
        arguments[0] = code
    if module in ("pytest_mcast.core.errors", "builtins"):
        with suppress(Exception):  # arguments that the class does not take
            error = getattr(importlib.import_module(module), name)(*arguments)
            if isinstance(error, Exception):
                return error
    return RuntimeError(described["traceback"])


def _made(kind: str, *fields: Tuple[str, Any]) -> Any:
    """Make a value of one of our dataclasses without looking at it: the other end has."""
    module, _, name = kind.partition(":")
    if not module.startswith("pytest_mcast."):
        raise ValueError(f"{kind} is none of our values")
    made = object.__new__(getattr(importlib.import_module(module), name))
    for field, value in fields:
        object.__setattr__(made, field, value)
    return made
