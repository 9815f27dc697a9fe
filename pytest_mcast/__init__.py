"""pytest-mcast: a pytest plugin and network test harness for IP multicast.

The public names are here and are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know better; importing typing is most of what the package would cost

if TYPE_CHECKING:
    from typing import Any

    from .core import (
        AsyncReceiver,
        CappedBufferWarning,
        Change,
        Channel,
        ChannelError,
        ChannelPicker,
        Context,
        ContextStatistics,
        Datagram,
        Deadline,
        Delivered,
        EchoError,
        EchoResponder,
        HostError,
        Interface,
        InterfaceError,
        McastError,
        MembershipError,
        MetricsLog,
        MissingCapability,
        NotReceived,
        NotReported,
        NoVerdict,
        ProcessStatistics,
        ReceiveError,
        Receiver,
        Reported,
        Sampler,
        Sender,
        Sent,
        Snapshot,
        Statistics,
        Subscription,
        SubscriptionError,
        Verdict,
    )
    from .hosts import Host, LocalHost, RemoteHost
    from .lab import COMPRESSED, Lab, LabView, Link, MdbEntry, MdbTimeout, Port, Switch, Timers, VirtualHost
    from .packets import Prober
    from .wire import Capture, Listener, Membership, NoReport, Querier, Query, Record, Report

__all__ = [
    "COMPRESSED",
    "AsyncReceiver",
    "CappedBufferWarning",
    "Capture",
    "Change",
    "Channel",
    "ChannelError",
    "ChannelPicker",
    "Context",
    "ContextStatistics",
    "Datagram",
    "Deadline",
    "Delivered",
    "EchoError",
    "EchoResponder",
    "Host",
    "HostError",
    "Interface",
    "InterfaceError",
    "Lab",
    "LabView",
    "Link",
    "Listener",
    "LocalHost",
    "McastError",
    "MdbEntry",
    "MdbTimeout",
    "Membership",
    "MembershipError",
    "MetricsLog",
    "MissingCapability",
    "NoReport",
    "NoVerdict",
    "NotReceived",
    "NotReported",
    "Port",
    "Prober",
    "ProcessStatistics",
    "Querier",
    "Query",
    "ReceiveError",
    "Receiver",
    "Record",
    "RemoteHost",
    "Report",
    "Reported",
    "Sampler",
    "Sender",
    "Sent",
    "Snapshot",
    "Statistics",
    "Subscription",
    "SubscriptionError",
    "Switch",
    "Timers",
    "Verdict",
    "VirtualHost",
    "__version__",
]

__version__ = "0.1.0.dev0"

_ELSEWHERE = {
    **dict.fromkeys(("Host", "LocalHost", "RemoteHost"), "hosts"),
    **dict.fromkeys(
        ("COMPRESSED", "Lab", "LabView", "Link", "MdbEntry", "MdbTimeout", "Port", "Switch", "Timers", "VirtualHost"),
        "lab",
    ),
    **dict.fromkeys(("Capture", "Listener", "Membership", "NoReport", "Querier", "Query", "Record", "Report"), "wire"),
    "Prober": "packets",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("." + _ELSEWHERE.get(name, "core"), __name__), name)


def __dir__() -> list[str]:
    return __all__
