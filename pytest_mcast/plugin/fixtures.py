"""The fixtures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from .marker import read_marker
from .stash import CORE, WATCH, notice, place_of

if TYPE_CHECKING:
    from pytest_mcast.core import Channel, EchoResponder, Interface, Receiver, Sender
    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.hosts import Host
    from pytest_mcast.lab.view import LabView
    from pytest_mcast.packets import Prober

__all__ = [
    "mcast_channel",
    "mcast_core",
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
]


@pytest.fixture(scope="session")
def mcast_sender_host(request: pytest.FixtureRequest) -> Host:
    """Host where the plain senders live; override it to choose another."""
    return place_of(request.config).hosts[0]


@pytest.fixture(scope="session")
def mcast_receiver_host(request: pytest.FixtureRequest) -> Host:
    """Host where the plain receivers and echo responders live; override it to choose another."""
    return place_of(request.config).hosts[1]


@pytest.fixture(scope="session")
def mcast_iface(mcast_receiver_host: Host) -> Interface:
    """Interface in use, on the host of the receivers."""
    return mcast_receiver_host.interface


@pytest.fixture
def mcast_kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Family and mode of mcast_channel, such as ("ipv4", "ssm"); parametrised with all four."""
    # Without parametrisation (unittest): what the marker narrows it to, else IPv4 ASM.
    kind: tuple[str, str] = getattr(request, "param", None) or read_marker(request.node).kinds[0]
    return kind


@pytest.fixture
def mcast_channel(
    request: pytest.FixtureRequest,
    mcast_kind: tuple[str, str],
    mcast_sender_host: Host,
    mcast_receiver_host: Host,
) -> Channel:
    """Channel (group, port, source) of this test alone; the test runs once for each kind, ipv4-asm to ipv6-ssm."""
    place = place_of(request.config)
    family, mode = mcast_kind
    place.need(mcast_sender_host, mcast_receiver_host, family, mode)
    notice(request.config, mcast_sender_host, mcast_receiver_host)
    scope = read_marker(request.node).scope
    source = mcast_sender_host.source(family, scope or "link-local") if mode == "ssm" else None
    with mcast_receiver_host.inside():
        return place.picker.pick(family, scope, source=source, interface=mcast_receiver_host.interface)


def _factory(
    request: pytest.FixtureRequest, default: Channel, stack: ExitStack, open_endpoint: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that opens endpoints for a channel, and closes them at the end."""
    settings = place_of(request.config).settings
    timeout = read_marker(request.node).timeout or settings.timeout.value

    def factory(channel: Channel | None = None, **options: Any) -> Any:
        options.setdefault("timeout", timeout)
        return stack.enter_context(open_endpoint(default if channel is None else channel, **options))

    return factory


@pytest.fixture
def mcast_receiver_factory(
    request: pytest.FixtureRequest, mcast_channel: Channel, mcast_receiver_host: Host
) -> Iterator[Callable[..., Receiver]]:
    """Function that opens more receivers: factory(channel=None, **options of Receiver)."""
    notice(request.config, mcast_receiver_host)
    with ExitStack() as stack:
        yield _factory(request, mcast_channel, stack, mcast_receiver_host.receiver)


@pytest.fixture
def mcast_sender_factory(
    request: pytest.FixtureRequest, mcast_channel: Channel, mcast_sender_host: Host
) -> Iterator[Callable[..., Sender]]:
    """Function that opens more senders: factory(channel=None, **options of Sender)."""
    notice(request.config, mcast_sender_host)
    with ExitStack() as stack:
        yield _factory(request, mcast_channel, stack, mcast_sender_host.sender)


@pytest.fixture
def mcast_echo_factory(
    request: pytest.FixtureRequest, mcast_channel: Channel, mcast_receiver_host: Host
) -> Iterator[Callable[..., EchoResponder]]:
    """Function that starts more echo responders: factory(channel=None, **options of EchoResponder)."""
    notice(request.config, mcast_receiver_host)
    with ExitStack() as stack:
        yield _factory(request, mcast_channel, stack, mcast_receiver_host.echo)


@pytest.fixture
def mcast_receiver(mcast_receiver_factory: Callable[..., Receiver]) -> Receiver:
    """Joined, ready receiver of mcast_channel."""
    return mcast_receiver_factory()


@pytest.fixture
def mcast_sender(mcast_sender_factory: Callable[..., Sender]) -> Sender:
    """Sender to mcast_channel, from its source if it has one."""
    return mcast_sender_factory()


@pytest.fixture
def mcast_echo(mcast_echo_factory: Callable[..., EchoResponder]) -> EchoResponder:
    """Responder that sends each datagram of mcast_channel back to where it came from."""
    return mcast_echo_factory()


@pytest.fixture(scope="session")
def mcast_core(request: pytest.FixtureRequest) -> ReceiveCore:
    """Receive core under test (--mcast-core), after its self-check; override it to choose another."""
    from pytest_mcast.cores import BuiltInCore, CoreFailure

    core: ReceiveCore = request.config.stash.get(CORE, None) or BuiltInCore()
    try:
        place_of(request.config).trust(core)
    except CoreFailure as failure:
        failure.mcast_outcome = "error"  # type: ignore[attr-defined] # nothing can be said about what was tested
        raise
    return core


@pytest.fixture
def mcast_lab(request: pytest.FixtureRequest) -> Iterator[LabView]:
    """Virtual network of this test: host("a"), hosts(3), channel(source=...)."""
    from pytest_mcast.lab.view import LabView

    watch = request.config.stash.get(WATCH, None)
    with LabView(place_of(request.config).pool, None if watch is None else watch.notice) as view:
        yield view


@pytest.fixture
def mcast_probe(mcast_receiver: Receiver, mcast_sender_host: Host, mcast_receiver_host: Host) -> Iterator[Prober]:
    """Function that sends mcast_receiver a crafted datagram: probe("ssm.wrong-source").check()."""
    from pytest_mcast.core.errors import MissingCapability
    from pytest_mcast.core.system import LINUX

    if not LINUX:
        raise MissingCapability("packets", f"{sys.platform} has no virtual hosts", "run the tests on Linux")
    from pytest_mcast.packets import Prober

    with Prober(mcast_receiver, mcast_sender_host, mcast_receiver_host, timeout=mcast_receiver.timeout) as probe:
        yield probe
