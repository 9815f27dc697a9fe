"""Receive cores, anybody's and in any language, driven in the same way; and what each of them does."""

from __future__ import annotations

from .asynchronous import AsyncCore
from .builtin import BuiltInCore
from .description import Description, DescriptionError, read_description
from .external import ExternalCore
from .naive import NaiveCore
from .protocol import (
    FIELDS,
    Capabilities,
    CoreFailure,
    CoreReceiver,
    CountsDrops,
    ExpectedFailure,
    Filters,
    ReceiveCore,
    Rejoins,
)
from .registry import CoreError, find_any, find_core, shipped_cores, shipped_senders
from .selfcheck import self_check
from .sender import ExternalSender

__all__ = [
    "FIELDS",
    "AsyncCore",
    "BuiltInCore",
    "Capabilities",
    "CoreError",
    "CoreFailure",
    "CoreReceiver",
    "CountsDrops",
    "Description",
    "DescriptionError",
    "ExpectedFailure",
    "ExternalCore",
    "ExternalSender",
    "Filters",
    "NaiveCore",
    "ReceiveCore",
    "Rejoins",
    "find_any",
    "find_core",
    "read_description",
    "self_check",
    "shipped_cores",
    "shipped_senders",
]
