"""What multicast is: channels, interfaces, receiving and sending. Standard library only, Python 3.9 or later.

This sub-package is complete in itself, because it is sent to remote hosts that have nothing but Python.
"""

from __future__ import annotations

from .channels import FAMILIES, MODES, SCOPES, Channel, group_mac
from .context import Context
from .datagrams import Datagram, Sent, Statistics
from .deadline import Deadline
from .echo import EchoResponder
from .errors import (
    CappedBufferWarning,
    ChannelError,
    Delivered,
    EchoError,
    InterfaceError,
    McastError,
    MembershipError,
    MissingCapability,
    NotReceived,
    NotReported,
    NoVerdict,
    Reported,
    SubscriptionError,
)
from .groups import ChannelPicker
from .interfaces import Interface
from .receiver import Receiver
from .sender import Sender
from .subscriptions import Subscription
from .verdicts import Verdict

__all__ = [
    "FAMILIES",
    "MODES",
    "SCOPES",
    "CappedBufferWarning",
    "Channel",
    "ChannelError",
    "ChannelPicker",
    "Context",
    "Datagram",
    "Deadline",
    "Delivered",
    "EchoError",
    "EchoResponder",
    "Interface",
    "InterfaceError",
    "McastError",
    "MembershipError",
    "MissingCapability",
    "NoVerdict",
    "NotReceived",
    "NotReported",
    "Receiver",
    "Reported",
    "Sender",
    "Sent",
    "Statistics",
    "Subscription",
    "SubscriptionError",
    "Verdict",
    "group_mac",
]
