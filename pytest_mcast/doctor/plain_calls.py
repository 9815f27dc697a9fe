"""Which call of a socket of the user's own the kernel has refused: what Python has told of it, and where the error was raised."""

from __future__ import annotations

import ast
import errno
import ipaddress
import linecache
from contextlib import suppress
from types import TracebackType

from pytest_mcast.core.channels import Channel
from pytest_mcast.evidence import Reading

from .flow import Flow
from .moment import Moment
from .observation import Observation
from .party import Party
from .sends import Call

__all__ = ["plain_call_flow"]

# What bind(2), and sendto(2) and sendmsg(2), say that the checks know of.
_CODES = {
    "bind": (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EINVAL),
    "send": (errno.EMSGSIZE, errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL),
}
_METHODS = {"bind": "bind", "sendto": "send", "sendmsg": "send"}


def plain_call_flow(error: BaseException, observation: Observation, moment: Moment) -> Flow | None:
    """Gather what is known of a refused call of a socket of the user's own; None when nobody knows which one it was."""
    last = observation.sends.last
    if last is None or not isinstance(error, OSError):
        return None
    method = _method_of(error.__traceback__)
    call = _METHODS.get(method, "")
    if not call or last.event != f"socket.{method}" or error.errno not in _CODES[call]:
        return None
    party = _party(last, moment)
    if party is None:
        return None
    group, port = last.address
    if call == "send":
        channel = Channel.unchecked(group, port)
        return observation.flow(channel, sender=party, call=call, error=error, moment=moment)
    named = group not in ("", "0.0.0.0", "::") and _is_address(group)  # noqa: S104 - what is looked for
    address = group if named else {"ipv4": "0.0.0.0", "ipv6": "::"}[last.family]  # noqa: S104 - the same
    channel = Channel.unchecked(address, port, address if named else None)
    return observation.flow(channel, receiver=party, call=call, error=error, moment=moment)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:  # a name
        return False
    return True


def _party(last: Call, moment: Moment) -> Party | None:
    for each in moment.endpoints:
        if each.options.get("inode") == last.inode:
            return Party(each.host, [each.options], each.interface) if each.owner is None else None
    # It is closed by now.
    places = {readings.get("namespace", Reading()).value: host for host, readings in moment.readings.items()}
    host = places.get(last.namespace) if last.namespace is not None else None
    return None if host is None else Party(host)


def _method_of(traceback: TracebackType | None) -> str:
    """Return the name of the method in whose call an error was raised, by the line of the source; empty if nobody knows."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    code = traceback.tb_frame.f_code
    positions = list(code.co_positions())[traceback.tb_lasti // 2]
    first, last, begin, end = positions
    if first is None or last is None or begin is None or end is None:
        return ""
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    with suppress(SyntaxError, ValueError):
        call = ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            return call.func.attr
    return ""
