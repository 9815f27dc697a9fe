"""Runs behaviours against cores, and says of each outcome whether it was to be expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.core.errors import MissingCapability

from .behaviours import Behaviour, Bench, Unsupported
from .protocol import CoreFailure, ExpectedFailure, ReceiveCore
from .selfcheck import self_check

if TYPE_CHECKING:
    from pytest_mcast.lab import LabView
    from pytest_mcast.lab.view import HostPool
    from pytest_mcast.packets.explain import DropReasons

__all__ = ["KINDS", "SELF_CHECK", "Result", "expected_failure", "look_at", "run_behaviour", "run_core"]

#: Family and mode of the kinds of channel.
KINDS = tuple((family, mode) for family in FAMILIES for mode in MODES)

#: The behaviour of a result that says why a core is not believed for a kind of channel.
SELF_CHECK = "self-check"


@dataclass(frozen=True)
class Result:
    """The outcome of one behaviour of one core for one kind of channel.

    ``outcome`` is ``pass``, ``fail``, ``unsupported``, ``skipped`` (the core is not there, or cannot run here) or ``error``
    (nothing was established); ``reason`` says why it is not a pass, its first line in one sentence. ``expected`` is the
    known finding that applies, if there is one.
    """

    core: str
    version: str
    behaviour: str
    family: str
    mode: str
    outcome: str
    reason: str = ""
    evidence: tuple[str, ...] = ()
    expected: ExpectedFailure | None = None

    @property
    def kind(self) -> str:
        """The kind of channel, ``ipv4-asm`` to ``ipv6-ssm``."""
        return f"{self.family}-{self.mode}"

    @property
    def surprising(self) -> bool:
        """Whether it is not what is known of the core: a failure that is new, a pass where one was known, or an error."""
        if self.outcome == "pass":
            return self.expected is not None and not self.expected.sometimes
        return self.outcome == "error" or (self.outcome == "fail" and self.expected is None)

    def __str__(self) -> str:
        what = f"{self.core} {self.version}, {self.behaviour}, {self.kind}: {self.outcome}"
        if self.outcome == "pass" and self.surprising and self.expected is not None:
            return f"{what}, where a failure is known ({self.expected.reason})"
        known = f" (known: {self.expected.reason})" if self.outcome == "fail" and self.expected is not None else ""
        return what + known + (f"\n{self.reason}" if self.reason else "")


def run_core(
    core: ReceiveCore,
    behaviours: Sequence[Behaviour],
    pool: HostPool,
    kinds: Iterable[tuple[str, str]] = KINDS,
    *,
    timeout: float = 5.0,
) -> Iterator[Result]:
    """Yield the results of these behaviours, for each kind of channel.

    A core that does not pass its self-check for a kind is not believed for it: everything else there is an error.
    """
    for family, mode in kinds:
        check = _self_check(core, family, mode, pool, timeout)
        yield check
        for behaviour in behaviours:
            if family not in behaviour.families or mode not in behaviour.modes:
                continue
            if check.outcome in ("unsupported", "skipped"):
                yield _result(core, check.version, behaviour.id, family, mode, check.outcome, check.reason)
            elif check.outcome != "pass":
                yield _result(
                    core, check.version, behaviour.id, family, mode, "error", "it did not pass its self-check"
                )
            else:
                yield run_behaviour(core, behaviour, pool, family, mode, timeout=timeout)


def run_behaviour(
    core: ReceiveCore, behaviour: Behaviour, pool: HostPool, family: str, mode: str, *, timeout: float = 5.0
) -> Result:
    """Look at one behaviour for one kind of channel, in hosts of its own."""
    return look_at(core, behaviour.id, behaviour.run, pool, family, mode, timeout=timeout)


def look_at(
    core: ReceiveCore,
    name: str,
    function: Callable[[Bench], None],
    pool: HostPool,
    family: str,
    mode: str,
    *,
    timeout: float = 5.0,
    drops: DropReasons | None = None,
) -> Result:
    """Have a function look at a core on a bench, and return the result under a name."""
    from pytest_mcast.lab.view import LabView

    evidence: list[str] = []

    def look(lab: LabView) -> None:
        with Bench(core, lab, family, mode, timeout=timeout, drops=drops) as bench:
            try:
                function(bench)
            finally:
                evidence.extend(bench.evidence)

    outcome, reason = "pass", ""
    try:
        with LabView(pool) as lab:
            look(lab)
    except Unsupported as error:
        outcome, reason = "unsupported", str(error)
    except MissingCapability as error:
        outcome, reason = "skipped", str(error)
    except AssertionError as error:  # CoreFailure, NotReceived, Delivered: the core's
        outcome, reason = "fail", str(error)
    except Exception as error:  # noqa: BLE001 - a core in this process may raise anything; the others are to go on
        outcome, reason = "error", f"{type(error).__name__}: {error}"
    version = _version(core) if outcome != "skipped" else ""
    return _result(core, version, name, family, mode, outcome, reason, evidence)


def _self_check(core: ReceiveCore, family: str, mode: str, pool: HostPool, timeout: float) -> Result:
    from pytest_mcast.lab.view import LabView

    if family not in core.capabilities.families or mode not in core.capabilities.modes:
        return _result(core, _version(core), SELF_CHECK, family, mode, "unsupported", f"it is not for {family} {mode}")
    try:
        with LabView(pool) as lab:
            evidence = [f"version {core.version}", *self_check(core, lab, family, mode, timeout=timeout)]
    except MissingCapability as error:
        return _result(core, "", SELF_CHECK, family, mode, "skipped", str(error))
    except AssertionError as error:
        return _result(core, _version(core), SELF_CHECK, family, mode, "fail", str(error))
    except Exception as error:  # noqa: BLE001 - as above
        return _result(core, _version(core), SELF_CHECK, family, mode, "error", f"{type(error).__name__}: {error}")
    return _result(core, _version(core), SELF_CHECK, family, mode, "pass", "", evidence)


def _version(core: ReceiveCore) -> str:
    try:
        return core.version
    except (MissingCapability, CoreFailure):  # the self-check has said so
        return ""


def _result(
    core: ReceiveCore,
    version: str,
    behaviour: str,
    family: str,
    mode: str,
    outcome: str,
    reason: str = "",
    evidence: Sequence[str] = (),
) -> Result:
    expected = expected_failure(core.expected_failures, version, behaviour, f"{family}-{mode}")
    return Result(core.name, version, behaviour, family, mode, outcome, reason, tuple(evidence), expected)


def expected_failure(
    known: Iterable[ExpectedFailure], version: str, behaviour: str, kind: str
) -> ExpectedFailure | None:
    """Return the known finding that applies to a behaviour, a version and a kind of channel; None if there is none."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    for one in known:
        if one.behaviour != behaviour or (one.kinds and kind not in one.kinds):
            continue
        if not one.versions:
            return one
        try:
            if SpecifierSet(one.versions).contains(Version(version), prereleases=True):
                return one
        except InvalidVersion:  # "unknown", or one of another notation: no range contains it
            continue
    return None
