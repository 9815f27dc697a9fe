"""The exceptions of pytest-mcast.

McastError
├── ChannelError (ValueError)          a group, source or port that cannot be a channel
├── InterfaceError (LookupError)       no such interface, or none that fits
├── SubscriptionError (RuntimeError)   a call that the state of a subscription forbids
├── MembershipError (OSError)          the kernel refused to join, leave, block or unblock
├── ReceiveError (OSError)             the kernel reports an error of a subscription's socket
├── NotReceived (AssertionError, TimeoutError)
│                                      the deadline passed without the datagram
├── Delivered (AssertionError)         a datagram was delivered that should not have been
├── NoVerdict (RuntimeError)           a proof that establishes nothing: no control, or no fence
├── NotReported (AssertionError, TimeoutError)
│                                      the deadline passed without the report or query
├── Reported (AssertionError)          a membership was reported that should not have been
├── EchoError (RuntimeError)           an echo responder broke while nobody looked
├── ProgramError (RuntimeError)        a program that was started ended, or stayed silent, before it was ready
├── HostError (RuntimeError)           a remote host that cannot be used: reason and remedy
└── MissingCapability (RuntimeError)   this environment cannot do it: reason and remedy
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .datagrams import Datagram
    from .receiver import Receiver
    from .subscriptions import Subscription

__all__ = [
    "CappedBufferWarning",
    "ChannelError",
    "Delivered",
    "EchoError",
    "HostError",
    "InterfaceError",
    "McastError",
    "MembershipError",
    "MissingCapability",
    "NoVerdict",
    "NotReceived",
    "NotReported",
    "ProgramError",
    "ReceiveError",
    "Reported",
    "SubscriptionError",
]


class McastError(Exception):
    """Base of every exception that this package raises on purpose."""


class ChannelError(McastError, ValueError):
    """A group, source or port that cannot be a channel; the text names the value and the rule."""


class InterfaceError(McastError, LookupError):
    """No interface fits what was asked for; the text lists the interfaces there are."""


class SubscriptionError(McastError, RuntimeError):
    """A call that the state of a subscription forbids, such as leaving what was never joined."""


class NotReceived(McastError, AssertionError, TimeoutError):  # noqa: N818 - reads as the verdict it is
    """The deadline passed without the datagram; the text says what was seen instead."""

    #: The receiver that waited; None when it was something else.
    receiver: Optional[Receiver] = None
    #: What was seen at that moment, by who has set ``Receiver.lost``.
    moment: object = None


class Delivered(McastError, AssertionError):  # noqa: N818 - reads as the verdict it is
    """A datagram was delivered that should not have been; the text gives the evidence."""

    #: The receiver that has delivered it; None when it was something else.
    receiver: Optional[Receiver] = None
    #: What was delivered; None when that is not known.
    datagram: Optional[Datagram] = None


class NotReported(McastError, AssertionError, TimeoutError):  # noqa: N818 - reads as the verdict it is
    """The deadline passed without the report or query; the text says what was heard instead."""

    #: What was expected, as ``Listener`` has it, and the name of the host that listened; not set for anything else.
    wanted: object = None
    listener: str = ""
    #: What was seen at that moment, by who has set ``Host.lost``.
    moment: object = None


class Reported(McastError, AssertionError):  # noqa: N818 - reads as the verdict it is
    """A membership was reported that should not have been; the text gives the report."""


class NoVerdict(McastError, RuntimeError):  # noqa: N818 - neither the one verdict nor the other
    """A proof could not be made: the control has not seen the probe, or the fence did not arrive.

    It says nothing about the receiver, and must not pass for a proof; the text says what was sent, seen and counted.
    """

    #: The outcome of a test that ended with it.
    mcast_outcome = "error"


class EchoError(McastError, RuntimeError):
    """An echo responder stopped because of an error in its thread."""


class ProgramError(McastError, RuntimeError):
    """A program ended, or stayed silent, before it was ready; the text has its output."""


class HostError(McastError, RuntimeError):
    """A remote host cannot be reached, cannot run us, or was lost: it says nothing about the code under test.

    ``host`` is its name, ``reason`` what was tried and what happened, ``remedy`` what would change that (one line each).
    """

    #: The outcome of a test that ended with it.
    mcast_outcome = "error"

    def __init__(self, host: str, reason: str, remedy: str) -> None:
        super().__init__(host, reason, remedy)
        self.host = host
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"host {self.host}: {self.reason}; {self.remedy}"


class MissingCapability(McastError, RuntimeError):  # noqa: N818 - a state of the environment, not a slip
    """The environment cannot do what was asked.

    ``capability`` is its name, ``reason`` what was tried and what happened, ``remedy`` what would
    change that (one line each).
    """

    #: The outcome of a test that ended with it.
    mcast_outcome = "skipped"
    #: The id of the doctor's check that has found the cause; empty when none has.
    cause = ""

    def __init__(self, capability: str, reason: str, remedy: str) -> None:
        super().__init__(capability, reason, remedy)
        self.capability = capability
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.capability}: {self.reason}; {self.remedy}"


class CappedBufferWarning(UserWarning):
    """The system granted a smaller socket buffer than was asked for (``net.core.rmem_max``)."""


# What the errno of a refused membership means; ip(7), ipv6(7), and measured behaviour of Linux.
_HINTS = {
    errno.ENODEV: "the interface is gone, or none was named and no route leads to the group",
    errno.ENOBUFS: (
        "a limit is reached: net.ipv4.igmp_max_memberships groups for one socket, "
        "net.ipv4.igmp_max_msf or net.ipv6.mld_max_msf sources for one group"
    ),
    errno.EADDRINUSE: "this socket has already joined the group",
    errno.EADDRNOTAVAIL: "the membership is not as this call needs it: that source is there already, or not there",
    errno.EINVAL: "the address is no group, or the filter is in the other mode",
    errno.ENOMEM: "net.core.optmem_max is used up",
}


class MembershipError(McastError, OSError):
    """The kernel refused to join, leave, block or unblock; ``errno`` is the kernel's."""

    @classmethod
    def of(cls, action: str, what: str, error: OSError) -> MembershipError:
        """Make one of what the kernel said: ``action`` and ``what`` say in words what it refused."""
        code = error.errno or 0
        hint = _HINTS.get(code)
        name = errno.errorcode.get(code, str(code))
        return cls(code, f"cannot {action} {what}: {name} ({os.strerror(code)})" + (f": {hint}" if hint else ""))

    def __str__(self) -> str:
        return str(self.args[1])


class ReceiveError(McastError, OSError):
    """The kernel reports an error of a subscription's socket; ``errno`` is the kernel's, ``subscription`` is whose."""

    subscription: Subscription

    @classmethod
    def of(cls, subscription: Subscription, error: OSError) -> ReceiveError:
        """Make one of what the kernel said."""
        code = error.errno or 0
        name = errno.errorcode.get(code, str(code))
        made = cls(code, f"cannot receive from {subscription!r}: {name} ({os.strerror(code)})")
        made.subscription = subscription
        return made

    def __str__(self) -> str:
        return str(self.args[1])
