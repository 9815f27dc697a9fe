"""Waits for what becomes of the IPv6 addresses of a host: rtnetlink(7)."""

from __future__ import annotations

import socket
import struct

from pytest_mcast import VirtualHost

__all__ = ["DADFAILED", "AddressEvents"]

DADFAILED = 0x08  # linux/if_addr.h, IFA_F_DADFAILED
_NEWADDR = 20  # linux/rtnetlink.h
_IPV6_ADDRESSES = 0x100  # RTMGRP_IPV6_IFADDR
_SECONDS = 10.0


class AddressEvents:
    """Hears of new addresses from now on."""

    def __init__(self, host: VirtualHost) -> None:
        with host.inside():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, _IPV6_ADDRESSES))
        self._socket.settimeout(_SECONDS)

    def wait(self, flag: int = 0) -> None:
        """Wait for an address that can be used, or that has a flag; once, then it is closed. Raises ``TimeoutError``."""
        with self._socket:
            while True:
                message = self._socket.recv(65535)
                kind, flags = struct.unpack_from("=4xH8x", message)[0], message[18]  # struct nlmsghdr, struct ifaddrmsg
                if kind == _NEWADDR and flags & flag == flag:
                    return
