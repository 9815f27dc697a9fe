"""What multicast is: channels, interfaces, receiving and sending. Standard library only, Python 3.9 or later.

This sub-package is complete in itself, because it is sent to remote hosts that have nothing but Python.
"""

from __future__ import annotations

from .aio import AsyncReceiver
from .bursts import LEAST_SIZE, Burst
from .channels import FAMILIES, MODES, SCOPES, Channel, group_mac
from .context import Context
from .datagrams import Datagram, Sent
from .deadline import Deadline
from .drain import Account, Drain
from .echo import EchoResponder
from .errors import (
    CappedBufferWarning,
    ChannelError,
    Delivered,
    EchoError,
    HostError,
    InterfaceError,
    McastError,
    MembershipError,
    MissingCapability,
    NotReceived,
    NotReported,
    NoVerdict,
    ProgramError,
    ReceiveError,
    Reported,
    SubscriptionError,
)
from .groups import ChannelPicker
from .interfaces import Interface
from .jsonlines import MetricsLog
from .metrics import Change, ContextStatistics, Sampler, Snapshot, Statistics
from .process import ProcessStatistics
from .receiver import Receiver
from .sender import Sender
from .subscriptions import Subscription
from .verdicts import Verdict

__all__ = [
    "FAMILIES",
    "LEAST_SIZE",
    "MODES",
    "SCOPES",
    "Account",
    "AsyncReceiver",
    "Burst",
    "CappedBufferWarning",
    "Change",
    "Channel",
    "ChannelError",
    "ChannelPicker",
    "Context",
    "ContextStatistics",
    "Datagram",
    "Deadline",
    "Delivered",
    "Drain",
    "EchoError",
    "EchoResponder",
    "HostError",
    "Interface",
    "InterfaceError",
    "McastError",
    "MembershipError",
    "MetricsLog",
    "MissingCapability",
    "NoVerdict",
    "NotReceived",
    "NotReported",
    "ProcessStatistics",
    "ProgramError",
    "ReceiveError",
    "Receiver",
    "Reported",
    "Sampler",
    "Sender",
    "Sent",
    "Snapshot",
    "Statistics",
    "Subscription",
    "SubscriptionError",
    "Verdict",
    "group_mac",
]
