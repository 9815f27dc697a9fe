"""Where the plain fixtures live: settled once per process, at first use, by trying."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import pytest

from pytest_mcast.core.channels import FAMILIES
from pytest_mcast.core.errors import MissingCapability, NotReceived
from pytest_mcast.core.groups import ChannelPicker
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.doctor import probe_channel, probe_namespaces, probe_packets
from pytest_mcast.hosts import Host, LocalHost, RemoteHost

from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mcast.cores import ReceiveCore
    from pytest_mcast.lab import Lab
    from pytest_mcast.lab.view import HostPool
    from pytest_mcast.packets.explain import DropReasons
    from pytest_mcast.scenarios import HostSpec, Scenario, Stage, World

__all__ = ["Place", "find_interface", "loopback"]

SESSION = "session"  # lab.private.SESSION, without importing it where there are no namespaces (a test compares them)


class Place:
    """The hosts, the channels and the verdicts on capabilities of one test process."""

    def __init__(self, settings: Settings, session_lab: Lab | None) -> None:
        self.settings = settings
        self.in_private_network = session_lab is not None
        self.picker = ChannelPicker(secrets.token_bytes(16))
        self._stack = ExitStack()
        self._hosts: tuple[Host, Host] | None = None
        self._locals: dict[str | None, Host] = {}  # by the interface that a scenario file names
        self._lab = session_lab  # which the session closes
        self._pool: HostPool | None = None
        self._verdict: MissingCapability | Literal[False] | None = False  # on namespaces; False: not probed yet
        self._drops: DropReasons | None = None
        self._drops_tried = False
        self._probed: dict[tuple[Host, Host, str, str], MissingCapability | None] = {}
        self._capabilities: dict[str, MissingCapability | None] = {}
        self._world: World | None = None
        self._stages: dict[Path, Stage] = {}

    @property
    def hosts(self) -> tuple[Host, Host]:
        """The hosts of the plain senders and receivers."""
        if self._hosts is None:
            self._hosts = self._settle()
        return self._hosts

    @property
    def lab(self) -> Lab:
        """The virtual network of this process; skips or fails the test where there can be none."""
        if self._lab is None:
            missing = self._namespaces()
            if missing is not None:
                self.skip(missing)
            from pytest_mcast.lab import Lab

            self._lab = self._stack.enter_context(Lab())
        return self._lab

    @property
    def pool(self) -> HostPool:
        """The idle hosts of the virtual network; skips or fails like ``lab``."""
        if self._pool is None:
            from pytest_mcast.lab.view import HostPool

            self._pool = HostPool(self.lab)
        return self._pool

    @property
    def drops(self) -> DropReasons | None:
        """What says why the kernel has dropped something; None where that is not permitted. One for the session."""
        if not self._drops_tried:
            from pytest_mcast.packets import KernelDrops

            self._drops_tried = True
            with suppress(MissingCapability):  # it is evidence that is nice to have
                self._drops = self._stack.enter_context(KernelDrops())
        return self._drops

    @property
    def local(self) -> Host:
        """The machine we run on, by the interface that was named, else by loopback."""
        return self.local_host(None)

    def local_host(self, interface: str | None) -> Host:
        """Return the machine we run on by an interface; None is the one that was named, else loopback."""
        if self.in_private_network:
            self._hidden("a local host is this machine, which the private network hides")
        if interface not in self._locals:
            name = interface or self.settings.iface.value
            self._locals[interface] = local = LocalHost(loopback() if name is None else find_interface(name))
            self._stack.callback(local.close_endpoints)
        return self._locals[interface]

    def stage(self, scenario: Scenario, cores: Sequence[ReceiveCore]) -> Stage:
        """Return the hosts of a scenario file, made once; ``cores`` are those of plugins."""
        from pytest_mcast.scenarios import Stage, Subjects, World

        if self._world is None:
            subjects = Subjects(lambda: self.pool, cores, timeout=self.settings.timeout.value)
            self._world = World(
                lab=lambda: self.lab,
                subjects=subjects,
                picker=self.picker,
                local=self.local_host,
                remote=self._remote_host,
                need=self.need,
                require=self.require,
                timeout=self.settings.timeout.value,
            )
        if scenario.path not in self._stages:
            self._stages[scenario.path] = Stage(scenario, self._world)
        return self._stages[scenario.path]

    def _remote_host(self, spec: HostSpec) -> RemoteHost:
        if self.in_private_network and not spec.remote.startswith("popen"):
            self._hidden(f"{spec.name} is another machine, to which no way leads from the private network")
        return RemoteHost(spec.name, spec.remote, spec.interface)

    def _hidden(self, what: str) -> NoReturn:
        raise _error(f"{what}; drop --mcast-lab (mcast_lab)")

    def require(self, capability: str, sender: Host, receiver: Host) -> None:
        """Raise ``MissingCapability`` unless there is a capability; what only a test can try is taken as there.

        A kind of channel is tried from host to host; the others are this machine's.
        """
        if capability.partition("-")[0] in FAMILIES:
            found = self._probe(sender, receiver, *capability.split("-"))
            if found is not None:
                raise found
            return
        if capability not in self._capabilities:
            missing = None
            if capability == "namespaces":
                missing = self._namespaces()
            elif capability == "packets":
                missing = probe_packets()
            self._capabilities[capability] = missing
        found = self._capabilities[capability]
        if found is not None:
            raise found

    def need(self, sender: Host, receiver: Host, family: str, mode: str) -> None:
        """Skip or fail the test unless datagrams of that kind get from host to host; for remote hosts it is an error."""
        missing = self._probe(sender, receiver, family, mode)
        if missing is None:
            return
        if isinstance(sender, RemoteHost) or isinstance(receiver, RemoteHost):
            from pytest_mcast.scenarios import Unready

            raise Unready(f"{missing.reason}; {missing.remedy}") from None
        self.skip(missing)

    def _probe(self, sender: Host, receiver: Host, family: str, mode: str) -> MissingCapability | None:
        key = (sender, receiver, family, mode)
        if key not in self._probed:
            missing = probe_channel(sender, receiver, family, mode, timeout=max(5.0, self.settings.timeout.value))
            real = isinstance(receiver, (LocalHost, RemoteHost))
            if missing is not None and not real and isinstance(missing.__cause__, NotReceived):
                raise missing.__cause__  # a loss between virtual hosts is nobody's environment
            self._probed[key] = missing
        return self._probed[key]

    def trust(self, core: ReceiveCore) -> None:
        """Have a core pass its self-check for each kind of channel it is for; raises ``CoreFailure``."""
        from pytest_mcast.cores import self_check
        from pytest_mcast.lab.view import LabView

        for family in core.capabilities.families:
            for mode in core.capabilities.modes:
                with LabView(self.pool) as lab:
                    self_check(core, lab, family, mode, timeout=self.settings.timeout.value)

    def skip(self, missing: MissingCapability) -> NoReturn:
        """Skip the test for a missing capability, or fail it when that is required."""
        required = self.settings.require
        text = f"{missing.reason}; {missing.remedy}"
        if {"all", missing.capability} & set(required.value):
            ending = _error(f"{missing.capability} is required by {required.origin}: {text}")
        else:
            ending = pytest.skip.Exception(f"mcast: {text}")
        # For the report: what is missing, apart from the words.
        ending.mcast_missing = {  # type: ignore[attr-defined]
            "capability": missing.capability,
            "cause": missing.cause,
            "reason": missing.reason,
            "remedy": missing.remedy,
        }
        raise ending

    def describe(self) -> str | None:
        """Say in a few words where the fixtures lived; None when they were not used."""
        if self._hosts is None:
            used = self._pool is not None or (self._lab is not None and not self.in_private_network)
            return "a virtual network" if used else None
        sender, receiver = self._hosts
        if sender is receiver:
            return f"{sender.interface.name} of this machine"
        return "virtual hosts" + (" of a private network" if self.in_private_network else "")

    def close(self) -> None:
        """Let go of all hosts."""
        with self._stack, ExitStack() as first:
            for stage in self._stages.values():
                first.callback(stage.close)
            self._stages.clear()

    def _settle(self) -> tuple[Host, Host]:
        if self.in_private_network:
            # The session's own host receives, so that the sockets of the code under test hear what mcast_sender sends.
            return self.lab.host("sender"), self.lab.host(SESSION)
        if self.settings.iface.value is None and self._namespaces() is None:
            # Not eth0: a program that looks for the interface on this machine must not find a real one.
            interfaces = {"mcast0": "lan"}
            return self.lab.host("sender", interfaces=interfaces), self.lab.host("receiver", interfaces=interfaces)
        return self.local, self.local

    def _namespaces(self) -> MissingCapability | None:
        if self._verdict is False:
            self._verdict = probe_namespaces()
        return self._verdict


def _error(text: str) -> BaseException:
    """Return what fails a test that says nothing about what was to be tested."""
    failure = pytest.fail.Exception(f"mcast: {text}", pytrace=False)
    failure.mcast_outcome = "error"  # type: ignore[attr-defined] # the environment's, as with NoVerdict
    return failure


def find_interface(name: str) -> Interface:
    """Find what ``--mcast-iface`` names; ``auto`` is the best one there is."""
    return Interface.best() if name == "auto" else Interface.find(name)


def loopback() -> Interface:
    """Return the loopback interface, whatever its name."""
    return next(interface for interface in Interface.all() if interface.loopback)
