"""``pytest-mcast doctor`` as a library: what a machine is, what works on it, and what is wrong with it; plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_mcast import __version__
from pytest_mcast.core.errors import McastError
from pytest_mcast.core.interfaces import Interface
from pytest_mcast.evidence import Snapshot, take_machine_snapshot

from .facts import Facts, NotRead
from .machine_check import MachineFinding, examine
from .machine_checks import CHECKS
from .machine_checks.asking import GROUPS
from .probes import CAPABILITIES
from .queriers import QuerierWatch
from .trying import try_interface, try_private_network

__all__ = ["FORMAT", "Health", "UnreadableDocument", "judge", "look_at_machine"]

#: The version of the document of ``Health.to_json``. It grows when a reader of the old one would be misled.
FORMAT = 1


class UnreadableDocument(McastError, ValueError):  # noqa: N818 - says what it is
    """A document is none of a doctor's, or a newer one's; the text says which."""


@dataclass(frozen=True)
class Health:
    """A machine, as it was judged.

    ``verdicts`` are by capability: None when it is there, else ``reason`` and ``remedy``. ``unchecked`` has the checks
    that could not be asked, with the reason.
    """

    facts: Facts
    verdicts: Mapping[str, Mapping[str, Any] | None]
    findings: tuple[MachineFinding, ...]
    unchecked: Mapping[str, str]

    def ill(self, required: Iterable[str] = ()) -> bool:
        """Whether something is missing or broken; of the capabilities ``required`` only, if there are any."""
        wanted = set(required) - {"all"}
        if wanted:
            return any(self.verdicts.get(name, {}) is not None for name in wanted)
        return any(self.verdicts.values()) or any(finding.confidence == "certain" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON, which ``judge`` can make the same of elsewhere."""
        return {
            "document": "pytest-mcast doctor",
            "format": FORMAT,
            "version": __version__,
            "snapshot": self.facts.snapshot.to_json(),
            "verdicts": {name: None if each is None else dict(each) for name, each in self.verdicts.items()},
            "findings": [asdict(finding) for finding in self.findings],
            "unchecked": dict(self.unchecked),
        }


def look_at_machine(interface: Interface, *, wait: float = 5.0) -> Health:
    """Read this machine, try an interface of it, and hear queriers meanwhile, for ``wait`` seconds at the most.

    Datagrams are sent on that interface only. Raises nothing: what cannot be read is said.
    """
    with QuerierWatch(wait) as watch:
        tried = try_interface(interface)
        private = try_private_network()
        data = take_machine_snapshot(tuple(GROUPS.values()))
        heard = watch.hear()
        data["readings"]["queriers"] = {"refused": watch.refused} if watch.refused else {"value": heard}
    data["readings"]["tried"] = {"value": tried}
    data["readings"]["private network"] = {"value": private}
    return judge(data)


def judge(document: Mapping[str, Any]) -> Health:
    """Judge what was read, here or elsewhere: a document of ``Health.to_json``, or a snapshot alone.

    Sends nothing and reads nothing. Raises ``UnreadableDocument``.
    """
    try:
        if document.get("format", FORMAT) != FORMAT:
            raise UnreadableDocument(f"its format is {document['format']!r}, and this version reads {FORMAT} only")
        snapshot = Snapshot.from_json(document.get("snapshot", document))
    except (KeyError, TypeError, AttributeError):
        raise UnreadableDocument("it is no document of pytest-mcast doctor --json") from None
    facts = Facts(snapshot)
    findings, unchecked = examine(facts, CHECKS)
    try:
        tried: Mapping[str, Mapping[str, Any] | None] = facts.read("tried")["capabilities"]
    except NotRead:  # a snapshot that was taken for something else
        tried = {}
    verdicts = {name: tried[name] for name in CAPABILITIES if name in tried}
    return Health(facts, verdicts, findings, unchecked)
