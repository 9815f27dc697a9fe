"""Everything that differs between Linux, macOS and Windows: option numbers, layouts, bind rules.

Linux is verified by the tests. The values for macOS and Windows come from their documentation
(``netinet/in.h`` and ip(4), ip6(4); ``ws2ipdef.h`` and the Winsock reference) and are unverified.

Not all of it is in Python's ``socket`` module, and what is there is there on some versions only,
so the numbers are spelled out.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import socket
import struct
import sys
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from .errors import CappedBufferWarning, MissingCapability

__all__ = [
    "LINUX",
    "Arrival",
    "RawInterface",
    "RemoteAddress",
    "SocketOption",
    "arrival",
    "bind_address",
    "group_request",
    "hears",
    "interface_option",
    "interface_table",
    "kernel_drops",
    "lock",
    "membership_option",
    "metadata_options",
    "open_socket",
    "opened",
    "receive",
    "reuse_options",
    "sender_options",
    "set_buffer",
    "set_option",
    "strict_options",
]

RemoteAddress = Tuple[str, int]
_T = TypeVar("_T")

#: Whether this is Linux.
LINUX: bool = sys.platform.startswith("linux")
_WINDOWS = sys.platform == "win32"
_BSD = not LINUX and not _WINDOWS  # macOS; the BSDs share its layouts

# RFC 3678 section 5: the protocol-independent membership options, at level IPPROTO_IP or IPPROTO_IPV6.
_MEMBERSHIP: Dict[str, int]
if LINUX:
    _MEMBERSHIP = {"join": 42, "block": 43, "unblock": 44, "leave": 45, "join-source": 46, "leave-source": 47}
elif _WINDOWS:
    _MEMBERSHIP = {"join": 41, "leave": 42, "block": 43, "unblock": 44, "join-source": 45, "leave-source": 46}
else:
    _MEMBERSHIP = {"join": 80, "leave": 81, "join-source": 82, "leave-source": 83, "block": 84, "unblock": 85}

_IPV4_LEVEL = socket.IPPROTO_IP
_IPV6_LEVEL = socket.IPPROTO_IPV6

_SO_BINDTODEVICE, _SO_MEMINFO, _SK_MEMINFO_DROPS = 25, 55, 8  # asm-generic/socket.h, linux/sock_diag.h
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29  # Linux only
_UDP_GRO = 104  # Linux only
_IP_BOUND_IF, _IPV6_BOUND_IF = 25, 125  # macOS only
if _BSD:  # netinet/in.h, netinet6/in6.h, sys/socket.h
    _SO_TIME, _SCM_TIME = 0x0400, 2  # SO_TIMESTAMP: struct timeval
    _IP_RECV = _IP_PKTINFO, _IP_TTL, _IP_TOS = 26, 24, 27  # RECVPKTINFO, RECVTTL, RECVTOS
    _IPV6_RECV = 61, 37, 35  # RECVPKTINFO, RECVHOPLIMIT, RECVTCLASS
    _IPV6_PKTINFO, _IPV6_HOPLIMIT, _IPV6_TCLASS = 46, 47, 36
else:  # linux/in.h, linux/in6.h
    _SO_TIME, _SCM_TIME = 35, 35  # SO_TIMESTAMPNS: struct timespec
    _IP_RECV = 8, 12, 13  # PKTINFO, RECVTTL, RECVTOS
    _IP_PKTINFO, _IP_TTL, _IP_TOS = 8, 2, 1
    _IPV6_RECV = 49, 51, 66  # RECVPKTINFO, RECVHOPLIMIT, RECVTCLASS
    _IPV6_PKTINFO, _IPV6_HOPLIMIT = 50, 52
    _IPV6_TCLASS = 39 if _WINDOWS else 67


def open_socket(family: str) -> socket.socket:
    """Open a UDP socket; raises as ``opened``."""
    return opened(lambda: socket.socket(socket.AF_INET6 if family == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM))


def opened(call: Callable[[], _T]) -> _T:
    """Call what opens a file, a socket, a selector.

    When the soft limit of open files is reached (RLIMIT_NOFILE, getrlimit(2)) it is doubled, up to the hard limit.
    Raises ``MissingCapability`` when that is reached too.
    """
    while True:
        try:
            return call()
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            _allow_more_files(error)


def _allow_more_files(error: OSError) -> None:
    if sys.platform == "win32":
        raise error
    else:  # noqa: RET506 - for the type checker, which sees one of the two
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        more = 2 * soft if hard == resource.RLIM_INFINITY else min(2 * soft, hard)
        if more <= soft:
            raise MissingCapability(
                "open files",
                f"this process may have no more than {soft} open files (soft limit {soft}, hard limit {hard})",
                "raise the hard limit: ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker",
            ) from error
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))


class SocketOption(NamedTuple):
    """One ``setsockopt``; an optional one may be refused (old kernel, no privilege) without harm."""

    level: int
    option: int
    value: bytes
    optional: bool = False


def set_option(sock: socket.socket, option: SocketOption) -> None:
    """Set the option; raises ``OSError`` unless it is optional."""
    try:
        sock.setsockopt(option.level, option.option, option.value)
    except OSError:
        if not option.optional:
            raise


def set_buffer(sock: socket.socket, option: int, size: Optional[int]) -> int:
    """Ask for a socket buffer of ``size`` bytes (None: leave it) and return what the system granted.

    ``option`` is SO_RCVBUF or SO_SNDBUF. Linux doubles the number for its own bookkeeping (socket(7)); that half
    is not counted. Warns with ``CappedBufferWarning`` when less was granted.
    """
    if size is not None:
        sock.setsockopt(socket.SOL_SOCKET, option, size)
    granted = sock.getsockopt(socket.SOL_SOCKET, option) // (2 if LINUX else 1)
    if size is not None and granted < size:
        which, limit = ("receive", "rmem_max") if option == socket.SO_RCVBUF else ("send", "wmem_max")
        cure = f"; raise net.core.{limit}" if LINUX else ""
        warnings.warn(
            f"the system granted a {which} buffer of {granted} bytes instead of {size}{cure}",
            CappedBufferWarning,
            stacklevel=_callers_level(),
        )
    return granted


def _callers_level() -> int:
    """Return the ``stacklevel``, for the function that calls this, of the code that calls this package."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001 - as the warnings module does
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("pytest_mcast."):
        frame, level = frame.f_back, level + 1
    return level


def _on(level: int, option: int, *, optional: bool = False) -> SocketOption:
    return SocketOption(level, option, struct.pack("=i", 1), optional)


def reuse_options() -> List[SocketOption]:
    """Return what lets several receivers of one group share its port.

    On Linux and Windows SO_REUSEADDR does, and SO_REUSEPORT must not be there: with a wildcard bind
    and IP_MULTICAST_ALL=0 Linux then gives about half of the flows to nobody. macOS needs SO_REUSEPORT.
    """
    options = [_on(socket.SOL_SOCKET, socket.SO_REUSEADDR)]
    if _BSD:
        options.append(_on(socket.SOL_SOCKET, 0x0200))  # SO_REUSEPORT
    return options


def bind_address(family: str, group: str, port: int, index: int) -> Tuple[object, ...]:
    """Return the address that a receiver of the group binds to: the group, except on Windows (wildcard)."""
    host = ("::" if family == "ipv6" else "0.0.0.0") if _WINDOWS else group  # noqa: S104 - Windows knows no other
    return (host, port, 0, index) if family == "ipv6" else (host, port)


def hears(address: str, group: str) -> bool:
    """Say whether a socket that is bound to the address can receive the group: bound to it, or to every address."""
    return _WINDOWS or address.partition("%")[0] in ("0.0.0.0", "::", group)  # noqa: S104 - what is looked for


def strict_options(family: str, name: str, index: int) -> List[SocketOption]:
    """Return what keeps other groups and other interfaces away from a socket of our own.

    Optional, because the packet information is checked as well: they keep foreign datagrams from
    filling the buffer. ip(7) IP_MULTICAST_ALL, socket(7) SO_BINDTODEVICE; macOS IP_BOUND_IF.
    """
    off = struct.pack("=i", 0)
    if LINUX:
        level, option = (_IPV6_LEVEL, _IPV6_MULTICAST_ALL) if family == "ipv6" else (_IPV4_LEVEL, _IP_MULTICAST_ALL)
        return [
            SocketOption(level, option, off, optional=True),
            SocketOption(
                socket.SOL_SOCKET, _SO_BINDTODEVICE, name.encode("utf-8", "surrogateescape") + b"\0", optional=True
            ),
        ]
    if _BSD:
        level, option = (_IPV6_LEVEL, _IPV6_BOUND_IF) if family == "ipv6" else (_IPV4_LEVEL, _IP_BOUND_IF)
        return [SocketOption(level, option, struct.pack("=I", index), optional=True)]
    return []


def metadata_options(family: str) -> List[SocketOption]:
    """Return what makes each datagram carry its group, interface, TTL, traffic class and time of arrival."""
    if _WINDOWS:
        return []  # Python has no recvmsg there
    level, numbers = (_IPV6_LEVEL, _IPV6_RECV) if family == "ipv6" else (_IPV4_LEVEL, _IP_RECV)
    return [_on(level, number) for number in numbers] + [_on(socket.SOL_SOCKET, _SO_TIME)]


def membership_option(action: str, family: str, index: int, group: str, source: Optional[str]) -> SocketOption:
    """Return the option for an action: join, leave, join-source, leave-source, block or unblock (RFC 3678)."""
    level = _IPV6_LEVEL if family == "ipv6" else _IPV4_LEVEL
    return SocketOption(level, _MEMBERSHIP[action], group_request(index, group, source))


def group_request(index: int, group: str, source: Optional[str] = None) -> bytes:
    """Pack ``struct group_req``, or ``struct group_source_req`` when there is a source (RFC 3678 section 5.1)."""
    # sockaddr_storage is aligned to 8 bytes where pointers have 8; macOS packs the struct to 4.
    padding = 4 if struct.calcsize("P") == 8 and not _BSD else 0
    packed = struct.pack("=I", index) + bytes(padding) + _sockaddr_storage(group)
    return packed if source is None else packed + _sockaddr_storage(source)


def _sockaddr_storage(address: str) -> bytes:
    ip = ipaddress.ip_address(address)
    number = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    body = b"\0\0" + (ip.packed if ip.version == 4 else bytes(4) + ip.packed)
    length = 16 if ip.version == 4 else 28
    head = struct.pack("=BB", length, number) if _BSD else struct.pack("=H", number)
    return (head + body).ljust(128, b"\0")


def interface_option(family: str, index: int, address: str) -> SocketOption:
    """Return the option that chooses the outgoing interface (IP_MULTICAST_IF, IPV6_MULTICAST_IF)."""
    if family == "ipv6":
        return SocketOption(_IPV6_LEVEL, socket.IPV6_MULTICAST_IF, struct.pack("=I", index))
    packed = socket.inet_aton(address)
    if not _WINDOWS:  # struct ip_mreqn: group (unused), address, index
        packed = bytes(4) + packed + struct.pack("=i", index)
    return SocketOption(_IPV4_LEVEL, socket.IP_MULTICAST_IF, packed)


def sender_options(family: str) -> Tuple[int, int, int]:
    """Return the option numbers for TTL or hop limit, loopback and traffic class."""
    if family == "ipv6":
        return socket.IPV6_MULTICAST_HOPS, socket.IPV6_MULTICAST_LOOP, _IPV6_TCLASS
    return socket.IP_MULTICAST_TTL, socket.IP_MULTICAST_LOOP, socket.IP_TOS


class Arrival(NamedTuple):
    """What the system tells of a datagram beside its payload; None where it does not."""

    group: Optional[str] = None
    interface_index: Optional[int] = None
    ttl: Optional[int] = None
    traffic_class: Optional[int] = None
    timestamp_ns: Optional[int] = None
    #: Bytes of each datagram, of several that were received as one (UDP_GRO).
    segment: Optional[int] = None


def receive(sock: socket.socket, size: int) -> Tuple[bytes, Arrival, bool, RemoteAddress]:
    """Receive one datagram: payload, packet information, whether it was truncated to ``size`` bytes, and from whom.

    Raises ``OSError`` as recvmsg(2); ``BlockingIOError`` when there is none.
    """
    if sys.platform == "win32":
        payload, address = sock.recvfrom(size)
        return payload, Arrival(), False, (address[0], address[1])
    else:  # noqa: RET505 - for the type checker, which sees one of the two
        payload, ancillary, flags, address = sock.recvmsg(size, 256)
        return payload, arrival(ancillary), bool(flags & socket.MSG_TRUNC), (address[0], address[1])


def arrival(ancillary: Iterable[Tuple[int, int, bytes]]) -> Arrival:
    """Read the control messages of recvmsg(2)."""
    group = index = ttl = traffic_class = timestamp_ns = segment = None
    for level, kind, data in ancillary:
        if level == _IPV4_LEVEL:
            if kind == _IP_PKTINFO and len(data) >= 12:
                index = int.from_bytes(data[:4], sys.byteorder)
                group = socket.inet_ntop(socket.AF_INET, data[8:12])
            elif kind == _IP_TTL:
                ttl = int.from_bytes(data, sys.byteorder)
            elif kind == _IP_TOS:
                traffic_class = data[0]
        elif level == _IPV6_LEVEL:
            if kind == _IPV6_PKTINFO and len(data) >= 20:
                group = socket.inet_ntop(socket.AF_INET6, data[:16])
                index = int.from_bytes(data[16:20], sys.byteorder)
            elif kind == _IPV6_HOPLIMIT:
                ttl = int.from_bytes(data[:4], sys.byteorder)
            elif kind == _IPV6_TCLASS:
                traffic_class = int.from_bytes(data[:4], sys.byteorder)
        elif level == socket.SOL_SOCKET and kind == _SCM_TIME:
            layout, fraction = ("@li", 1000) if _BSD else ("@ll", 1)
            seconds, rest = struct.unpack(layout, data[: struct.calcsize(layout)])
            timestamp_ns = seconds * 1_000_000_000 + rest * fraction
        elif level == socket.IPPROTO_UDP and kind == _UDP_GRO and LINUX:
            segment = int.from_bytes(data[:4], sys.byteorder)
    return Arrival(group, index, ttl, traffic_class, timestamp_ns, segment)


def kernel_drops(sock: socket.socket) -> Optional[int]:
    """Return how many datagrams the kernel dropped at this socket so far (full buffer, bad checksum); None if unknown.

    Linux: SO_MEMINFO, which unlike SO_RXQ_OVFL is right at any moment.
    """
    if not LINUX:
        return None
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_SK_MEMINFO_DROPS + 1))
    except OSError:  # a kernel before 4.12
        return None
    return int(struct.unpack("=9I", data)[_SK_MEMINFO_DROPS])


def lock(file: BinaryIO) -> None:
    """Lock a file until it is closed, against who does the same (flock(2)); Windows: not.

    Raises ``BlockingIOError`` when it is locked.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, f"somebody is writing to {file.name}") from None


@dataclass
class RawInterface:
    """An interface as the system lists it; ``flags`` are those of ``net/if.h``."""

    name: str
    index: int
    up: bool
    multicast: bool
    loopback: bool
    mtu: int
    addresses: List[str]


def interface_table() -> Sequence[RawInterface]:
    """List the interfaces in the order of their index, as the calling thread's network namespace has them."""
    if sys.platform == "win32":
        return _windows_interfaces()
    else:  # noqa: RET505 - as above
        return opened(_posix_interfaces)


if sys.platform != "win32":
    # net/if.h; the same numbers everywhere but for MULTICAST.
    _IFF_UP, _IFF_LOOPBACK, _IFF_MULTICAST = 0x1, 0x8, 0x1000 if LINUX else 0x8000
    _SIOCGIFMTU = 0x8921 if LINUX else 0xC0206933

    @functools.cache
    def _getifaddrs() -> Tuple[Any, Any]:
        """Return the C library and the type of a pointer to ``struct ifaddrs``, made once: ctypes never forgets a type."""
        import ctypes

        class IfAddrs(ctypes.Structure):
            pass

        pointer = ctypes.POINTER(IfAddrs)
        IfAddrs._fields_ = [
            ("next", pointer),
            ("name", ctypes.c_char_p),
            ("flags", ctypes.c_uint),
            ("address", ctypes.c_void_p),
        ]  # netmask and what follows are not read
        return ctypes.CDLL(None, use_errno=True), pointer

    def _posix_interfaces() -> Sequence[RawInterface]:
        # getifaddrs(3) speaks for the calling thread's namespace, which files in /sys do not.
        import ctypes

        libc, pointer = _getifaddrs()
        head = pointer()
        if libc.getifaddrs(ctypes.byref(head)) != 0:
            raise OSError(ctypes.get_errno(), "getifaddrs failed")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                table = {name: _posix_interface(sock, name, index) for index, name in socket.if_nameindex()}
            entry = head
            while bool(entry):  # a null pointer is false
                item = entry.contents
                interface = table.get(
                    item.name.decode("utf-8", "surrogateescape").partition(":")[0]
                )  # without the label of an address, eth0:1
                if interface is not None:  # else it came into being between the two calls
                    interface.up = bool(item.flags & _IFF_UP)
                    interface.loopback = bool(item.flags & _IFF_LOOPBACK)
                    interface.multicast = bool(item.flags & _IFF_MULTICAST)
                    address = _read_sockaddr(ctypes.string_at(item.address, 2), item.address) if item.address else None
                    if address is not None:
                        interface.addresses.append(address)
                entry = item.next
        finally:
            libc.freeifaddrs(head)
        return sorted(table.values(), key=lambda interface: interface.index)

    def _posix_interface(sock: socket.socket, name: str, index: int) -> RawInterface:
        import fcntl

        try:
            answer = fcntl.ioctl(sock, _SIOCGIFMTU, struct.pack("16s16x", name.encode("utf-8", "surrogateescape")))
            mtu = int(struct.unpack_from("=i", answer, 16)[0])
        except OSError:  # gone between the two calls
            mtu = 0
        return RawInterface(name, index, up=False, multicast=False, loopback=False, mtu=mtu, addresses=[])

    def _read_sockaddr(head: bytes, position: int) -> Optional[str]:
        import ctypes

        family = head[1] if _BSD else int.from_bytes(head, sys.byteorder)
        if family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, ctypes.string_at(position + 4, 4))
        if family == socket.AF_INET6:
            packed = ctypes.string_at(position + 8, 16)
            if _BSD and packed[:2] == b"\xfe\x80":  # KAME keeps the zone inside the address
                packed = packed[:2] + b"\0\0" + packed[4:]
            return socket.inet_ntop(socket.AF_INET6, packed)
        return None


if sys.platform == "win32":

    def _windows_interfaces() -> Sequence[RawInterface]:
        # GetAdaptersAddresses, iphlpapi.h; unverified.
        import ctypes
        from ctypes import wintypes

        class SocketAddress(ctypes.Structure):
            _fields_ = [("address", ctypes.c_void_p), ("length", ctypes.c_int)]

        class Unicast(ctypes.Structure):
            pass

        Unicast._fields_ = [
            ("length", wintypes.ULONG),
            ("flags", wintypes.DWORD),
            ("next", ctypes.POINTER(Unicast)),
            ("address", SocketAddress),
        ]

        class Adapter(ctypes.Structure):
            pass

        Adapter._fields_ = [
            ("length", wintypes.ULONG),
            ("index", wintypes.DWORD),
            ("next", ctypes.POINTER(Adapter)),
            ("adapter_name", ctypes.c_char_p),
            ("unicast", ctypes.POINTER(Unicast)),
            ("anycast", ctypes.c_void_p),
            ("multicast", ctypes.c_void_p),
            ("dns_server", ctypes.c_void_p),
            ("dns_suffix", ctypes.c_wchar_p),
            ("description", ctypes.c_wchar_p),
            ("friendly_name", ctypes.c_wchar_p),
            ("physical", ctypes.c_ubyte * 8),
            ("physical_length", wintypes.DWORD),
            ("flags", wintypes.DWORD),
            ("mtu", wintypes.DWORD),
            ("type", wintypes.DWORD),
            ("status", ctypes.c_int),
            ("index6", wintypes.DWORD),
        ]
        no_multicast, status_up, software_loopback, skip_lists = 0x10, 1, 24, 0x2 | 0x4 | 0x8
        api = ctypes.WinDLL("iphlpapi").GetAdaptersAddresses
        size = wintypes.ULONG(64 * 1024)
        buffer = ctypes.create_string_buffer(size.value)
        code = api(0, skip_lists, None, buffer, ctypes.byref(size))
        if code == 111:  # ERROR_BUFFER_OVERFLOW: size now says how much it takes
            buffer = ctypes.create_string_buffer(size.value)
            code = api(0, skip_lists, None, buffer, ctypes.byref(size))
        if code != 0:
            raise OSError(code, "GetAdaptersAddresses failed")
        table = []
        entry = ctypes.cast(buffer, ctypes.POINTER(Adapter))
        while bool(entry):
            item = entry.contents
            addresses = []
            unicast = item.unicast
            while unicast:
                where = unicast.contents.address.address
                number = int.from_bytes(ctypes.string_at(where, 2), "little")
                if number == socket.AF_INET:
                    addresses.append(socket.inet_ntop(socket.AF_INET, ctypes.string_at(where + 4, 4)))
                elif number == socket.AF_INET6:
                    addresses.append(socket.inet_ntop(socket.AF_INET6, ctypes.string_at(where + 8, 16)))
                unicast = unicast.contents.next
            table.append(
                RawInterface(
                    name=str(item.friendly_name),
                    index=int(item.index or item.index6),
                    up=item.status == status_up,
                    multicast=not item.flags & no_multicast,
                    loopback=item.type == software_loopback,
                    mtu=min(int(item.mtu), 65535),
                    addresses=addresses,
                )
            )
            entry = item.next
        return sorted(table, key=lambda interface: interface.index)
