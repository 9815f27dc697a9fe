"""In place of the module that aiocoap's source distribution leaves out: what its tests read from it."""

from __future__ import annotations

loopbackname_v4 = loopbackname_v6 = loopbackname_v46 = None
tcp_disabled = ws_disabled = dtls_disabled = using_simple6 = in_woodpecker = False
