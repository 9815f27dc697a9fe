"""One test for each case of the catalogue and each kind of channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mcast.catalogue import matching
from pytest_mcast.cores.behaviours import Bench, Unsupported
from pytest_mcast.cores.runner import KINDS, expected_failure
from pytest_mcast.plugin.stash import SETTINGS, place_of

if TYPE_CHECKING:
    from pytest_mcast.catalogue import Case
    from pytest_mcast.cores import ExpectedFailure, ReceiveCore
    from pytest_mcast.lab.view import LabView

__all__ = ["parameters", "test_case"]


def parameters() -> Iterator[Any]:
    """Yield the parameters of the tests; the markers that select them come from conftest.py."""
    for case, family, mode in matching(KINDS):
        yield pytest.param(case, family, mode, id=f"{case.id}-{family}-{mode}")


@pytest.mark.parametrize(("case", "family", "mode"), list(parameters()))
def test_case(
    request: pytest.FixtureRequest, mcast_core: ReceiveCore, mcast_lab: LabView, case: Case, family: str, mode: str
) -> None:
    """Look whether the core does what is expected; what is known of it, or only recommended, is told apart."""
    node, settings = request.node, request.config.stash[SETTINGS]
    version = mcast_core.version
    node.mcast_facts["subjects"] = {mcast_core.name: {"version": version}}
    node.mcast_evidence = []
    known = expected_failure(mcast_core.expected_failures, version, case.id, f"{family}-{mode}")
    if family not in mcast_core.capabilities.families or mode not in mcast_core.capabilities.modes:
        _unsupported(f"it is not for {family} {mode}")
    drops = place_of(request.config).drops
    try:
        with Bench(mcast_core, mcast_lab, family, mode, timeout=settings.timeout.value, drops=drops) as bench:
            node.mcast_evidence = bench.evidence
            case.look(bench)
    except Unsupported as error:
        _unsupported(str(error))
    except AssertionError as error:
        _failed(case, str(error), known, strict=settings.strict.value)
    else:
        if known is not None and not known.sometimes:
            pytest.fail(f"it passed, where a finding is known ({known.reason}): is it repaired?", pytrace=False)


def _failed(case: Case, text: str, known: ExpectedFailure | None, *, strict: bool) -> None:
    sentence = text.partition("\n")[0]
    if known is not None:
        pytest.xfail(f"known: {known.reason}: {sentence}")
    if case.level == "SHOULD" and not strict:
        pytest.xfail(f"SHOULD: {sentence}")
    what = f"{case.id} ({case.level}, {case.reference}): {case.title}: {case.expected}, because {case.reason}"
    pytest.fail(f"{text.rstrip()}\n{what}", pytrace=False)


def _unsupported(reason: str) -> None:
    skip = pytest.skip.Exception(f"unsupported: {reason}")
    skip.mcast_outcome = "unsupported"  # type: ignore[attr-defined]
    raise skip
