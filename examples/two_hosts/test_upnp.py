"""A device that async_upnp_client serves in one host answers the M-SEARCH of async_upnp_client in another."""

from __future__ import annotations

import asyncio
import threading
import xml.etree.ElementTree as ET

import pytest
from async_upnp_client.const import DeviceInfo
from async_upnp_client.search import SsdpSearchListener
from async_upnp_client.server import SsdpSearchResponder, UpnpServerDevice

UDN, KIND = "uuid:6e1b0f6a-0000-4000-8000-000000000001", "urn:schemas-upnp-org:device:Lamp:1"


class Lamp(UpnpServerDevice):
    """A device without services."""

    DEVICE_DEFINITION = DeviceInfo(
        KIND, "lamp", "us", None, None, "m", None, None, None, UDN, None, None, "/d.xml", [], ET.Element("device")
    )
    EMBEDDED_DEVICES = SERVICES = ()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_an_m_search_is_answered_across_hosts(mcast_lab, family):
    a, b = mcast_lab.host("a"), mcast_lab.host("b")
    ready = threading.Event()

    def source(host):
        address = host.source(family)
        return (address, 0) if family == "ipv4" else (address, 0, 0, host.interface.index)

    async def respond():
        responder = SsdpSearchResponder(Lamp(None, "http://192.0.2.1:80"), source=source(a))
        await responder.async_start()
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            await responder.async_stop()

    async def search():
        answer = asyncio.get_running_loop().create_future()
        # A device answers after a random part of this time, which it is told (MX); on a busy machine it may be later.
        listener = SsdpSearchListener(
            callback=lambda headers: answer.set_result(headers["usn"]), timeout=1, search_target=KIND, source=source(b)
        )
        await listener.async_start()
        try:
            listener.async_search()
            return await asyncio.wait_for(answer, 10)
        finally:
            listener.async_stop()

    a.start(respond)  # until the host is given back
    assert ready.wait(10)
    assert b.run(search) == f"{UDN}::{KIND}"
