"""Command line options and ini keys."""

from __future__ import annotations

import pytest

__all__ = ["add_options"]


def add_options(parser: pytest.Parser) -> None:
    """Declare them; ``settings`` reads them."""
    group = parser.getgroup("mcast", "IP multicast")
    group.addoption(
        "--mcast-iface",
        metavar="NAME|INDEX|ADDRESS|auto",
        help="Interface of this machine to run the multicast tests on; auto picks the best",
    )
    group.addoption(
        "--mcast-timeout",
        metavar="SECONDS",
        help="Longest wait for one datagram (default: 5)",
    )
    group.addoption(
        "--mcast-require",
        metavar="CAP[,CAP...]",
        help="Capabilities whose absence fails a test instead of skipping it; all for every one",
    )
    group.addoption(
        "--mcast-lab",
        action="store_const",
        const="on",
        help="Run the whole session in a private network with a virtual interface and a switch",
    )
    group.addoption(
        "--mcast-report",
        metavar="PATH",
        help="Keep the results of the scenario files in a JSON file, from which pytest-mcast report makes tables",
    )
    group.addoption(
        "--mcast-shard",
        metavar="K/N",
        help="Run part K of N of the cells; pytest-mcast report merge puts the records of all parts together",
    )
    group.addoption(
        "--mcast-capture",
        metavar="off|on|retain-on-failure",
        help="Write what the virtual hosts of each test, or of each that fails, send and receive to a pcapng file",
    )
    group.addoption(
        "--mcast-doctor",
        metavar="on|brief|off",
        help="Say in the report of a failure why something was not delivered; brief: cause and cure (default: on)",
    )
    group.addoption(
        "--mcast-output",
        metavar="DIRECTORY",
        help="Where the files go, a directory for each test (default: mcast-output)",
    )
    group.addoption(
        "--mcast-pause-on-failure",
        action="store_true",
        default=None,
        help="When a test with virtual hosts fails, print how to enter them and wait for Enter",
    )
    group.addoption(
        "--mcast-core",
        metavar="NAME|MODULE:ATTRIBUTE|FILE.yaml",
        help="Receive core under test, which the fixture mcast_core gives (default: builtin)",
    )
    group.addoption(
        "--mcast-strict",
        action="store_true",
        default=None,
        help="What an RFC only recommends (SHOULD) fails a conformance test as well",
    )
    parser.addini(
        "mcast_core", "Default of --mcast-core; a file is relative to the ini file", type="string", default=None
    )
    parser.addini("mcast_iface", "Default of --mcast-iface", type="string", default=None)
    parser.addini("mcast_timeout", "Default of --mcast-timeout, in seconds", type="float", default=None)
    parser.addini("mcast_require", "Default of --mcast-require", type="args", default=None)
    parser.addini("mcast_capture", "Default of --mcast-capture", default=None)
    parser.addini("mcast_doctor", "Default of --mcast-doctor", default=None)
    parser.addini("mcast_output", "Default of --mcast-output, relative to the ini file", default=None)
    parser.addini(
        "mcast_export",
        "Environment variables that tell the interface in use, such as VAR={interface}",
        type="linelist",
        default=None,
    )
    parser.addini(
        "mcast_lab", "Private network: on, off, or auto to go on without where there can be none", default=None
    )
    parser.addini(
        "mcast_lab_interfaces",
        "Interfaces of the private network, each NAME or NAME=MAC (default: eth0)",
        type="args",
        default=None,
    )
    parser.addini("mcast_shard", "Default of --mcast-shard", type="string", default=None)
    parser.addini("mcast_report", "Default of --mcast-report, relative to the ini file", type="string", default=None)
