"""The pytest plugin: glue between pytest and the library. Hooks and fixtures are collected here for pytest to find."""

from __future__ import annotations

from .fixtures import (
    mcast_channel,
    mcast_echo,
    mcast_echo_factory,
    mcast_iface,
    mcast_kind,
    mcast_lab,
    mcast_probe,
    mcast_receiver,
    mcast_receiver_factory,
    mcast_receiver_host,
    mcast_sender,
    mcast_sender_factory,
    mcast_sender_host,
)
from .hooks import (
    pytest_addoption,
    pytest_collect_file,
    pytest_configure,
    pytest_configure_node,
    pytest_generate_tests,
    pytest_itemcollected,
    pytest_load_initial_conftests,
    pytest_report_header,
    pytest_runtest_makereport,
    pytest_skip_what_is_missing,
    pytest_unconfigure,
)

__all__ = [
    "mcast_channel",
    "mcast_echo",
    "mcast_echo_factory",
    "mcast_iface",
    "mcast_kind",
    "mcast_lab",
    "mcast_probe",
    "mcast_receiver",
    "mcast_receiver_factory",
    "mcast_receiver_host",
    "mcast_sender",
    "mcast_sender_factory",
    "mcast_sender_host",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_itemcollected",
    "pytest_load_initial_conftests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_skip_what_is_missing",
    "pytest_unconfigure",
]
