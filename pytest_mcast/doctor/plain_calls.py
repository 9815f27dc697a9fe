"""Which call of a socket of the user's own the kernel has refused: what Python has told of it, and where the error was raised."""

from __future__ import annotations

import ast
import errno
import inspect
import ipaddress
import linecache
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from types import FrameType, TracebackType

from pytest_mcast.core.channels import Channel
from pytest_mcast.evidence import Reading
from pytest_mcast.hosts import Host

from .flow import Flow
from .moment import Moment
from .observation import Observation
from .party import Party

__all__ = ["plain_call_flow"]

# What bind(2), sendto(2) and sendmsg(2), and setsockopt(2) to join say that the checks know of.
_CODES = {
    "bind": (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EINVAL),
    "send": (errno.EMSGSIZE, errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL),
    "join": (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENOBUFS, errno.ENODEV, errno.ENOMEM),
}
_METHODS = {"bind": "bind", "sendto": "send", "sendmsg": "send", "setsockopt": "join"}
_JOINS = {
    "ipv4": ("IP_ADD_MEMBERSHIP", "IP_ADD_SOURCE_MEMBERSHIP"),
    "ipv6": ("IPV6_JOIN_GROUP", "IPV6_ADD_MEMBERSHIP"),
}
_ANY = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104 - what is looked for


def plain_call_flow(error: BaseException, observation: Observation, moment: Moment) -> Flow | None:
    """Gather what is known of a refused call of a socket of the user's own; None when nobody knows which one it was."""
    found = _call_of(error.__traceback__) if isinstance(error, OSError) else None
    if found is None or not isinstance(error, OSError):
        return None
    node, method, frame = found
    call = _METHODS.get(method, "")
    if not call or error.errno not in _CODES[call]:
        return None
    if call == "join":
        return _join(error, node, frame, observation, moment)
    last = observation.sends.last
    party = None if last is None else _party(moment, last.inode, last.namespace)
    if last is None or party is None or last.event != f"socket.{method}":
        return None
    sock = _socket(node, frame)
    if sock is not None and _inode_of(sock) not in (None, last.inode):  # that one's call was not noted
        return None
    address, port = last.address
    if call == "send":
        channel = Channel.unchecked(address, port)
        return observation.flow(channel, sender=party, call=call, error=error, moment=moment)
    named = address not in ("", *_ANY.values()) and _is_address(address)
    channel = Channel.unchecked(address if named else _ANY[last.family], port, address if named else None)
    return observation.flow(channel, receiver=party, call=call, error=error, moment=moment)


def _join(error: OSError, node: ast.Call, frame: FrameType, observation: Observation, moment: Moment) -> Flow | None:
    """Gather what is known of a join: of which socket, and of which group, as far as the names in the call tell."""
    sock = _socket(node, frame)
    if len(node.args) != 3 or sock is None:
        return None
    family = next((family for family, names in _JOINS.items() if _last_name(node.args[1]) in names), None)
    if family is None:
        return None
    inode = _inode_of(sock)
    namespace = (
        next(iter(moment.readings.values())).get("namespace", Reading()).value if len(moment.readings) == 1 else None
    )
    party = _party(moment, inode, namespace)
    group = next(_groups_in(node.args[2], frame, family), None)
    if party is None or group is None:
        return None
    options = [{**each, "joins": True} for each in party.sockets if not isinstance(each, socket.socket)]
    port = next((each["local"][1] for each in options if "local" in each), 0)
    party = replace(party, sockets=options)
    return observation.flow(Channel.unchecked(group, port), receiver=party, call="join", error=error, moment=moment)


def _socket(node: ast.Call, frame: FrameType) -> socket.socket | None:
    """Return the socket whose method is called, as far as names tell."""
    found = _value(node.func.value, frame) if isinstance(node.func, ast.Attribute) else None
    # By its type: a class of the user's may say of itself what it likes.
    return found if issubclass(type(found), socket.socket) else None  # type: ignore[return-value] # as it says


def _inode_of(sock: socket.socket) -> int | None:
    """Return the inode of a socket, of whatever class of the user's; None when it is closed by now."""
    descriptor = socket.socket.fileno(sock)
    return os.fstat(descriptor).st_ino if descriptor >= 0 else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:  # a name
        return False
    return True


def _party(moment: Moment, inode: int | None, namespace: int | None) -> Party | None:
    for each in moment.endpoints if inode is not None else ():
        if each.options.get("inode") == inode:
            return Party(each.host, [each.options], each.interface) if each.owner is None else None
    # It is closed by now.
    places: dict[int | None, Host] = {
        readings.get("namespace", Reading()).value: host for host, readings in moment.readings.items()
    }
    host = places.get(namespace) if namespace is not None else None
    return None if host is None else Party(host)


def _groups_in(node: ast.expr, frame: FrameType, family: str) -> Iterator[str]:
    """Yield the addresses that a request begins with, or is made of in that order, as far as names and constants tell."""
    request = _value(node, frame)
    size = {"ipv4": 4, "ipv6": 16}[family]
    if isinstance(request, bytes) and len(request) > size:
        yield str(ipaddress.ip_address(request[:size]))
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call) and each.args]
    for each in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        address = _value(each.args[-1], frame) if _last_name(each.func) in ("inet_aton", "inet_pton") else None
        if isinstance(address, str) and _is_address(address):
            yield address


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _value(node: ast.expr, frame: FrameType) -> object:
    """Return the value of a constant, or of a name with attributes, without running anything of the user's; else None."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if isinstance(node, ast.Attribute):
        return inspect.getattr_static(_value(node.value, frame), node.attr, None)
    return None


def _call_of(traceback: TracebackType | None) -> tuple[ast.Call, str, FrameType] | None:
    """Return the method call in which an error was raised, by the line of the source, its name, and where that was."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return None
    code = traceback.tb_frame.f_code
    first, last, begin, end = list(code.co_positions())[traceback.tb_lasti // 2]
    if first is None or last is None or begin is None or end is None:
        return None
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    with suppress(SyntaxError, ValueError):
        call = ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            return call, call.func.attr, traceback.tb_frame
    return None
