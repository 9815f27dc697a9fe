"""Sequences of steps, and whether they make sense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_mcast.documents import Document, name_of

from .errors import one_of
from .model import Step

__all__ = ["read_sequence"]


def read_sequence(
    document: Document, where: Sequence[Any], items: Sequence[Any], hosts: Sequence[str]
) -> tuple[Step, ...]:
    """Read a sequence; raises ``ScenarioError`` for unknown hosts and for steps that cannot follow the ones before."""
    state = _State()
    steps = []
    for number, item in enumerate(items):
        at = [*where, number]
        step = _step(document, at, item, hosts)
        trouble = state.next(step)
        if trouble is not None:
            raise document.failure(at, f"{name_of(at)}: {step}: {trouble}")
        steps.append(step)
    if not any(step.action == "send" for step in steps):
        raise document.failure(
            where, f"{name_of(where)} sends nothing, so it shows nothing; add the step 'send'", of_key=True
        )
    if not any(step.action == "join" for step in steps):
        raise document.failure(
            where, f"{name_of(where)} has nobody join, so it shows nothing; add the step 'join'", of_key=True
        )
    return tuple(steps)


def _step(document: Document, where: list[Any], item: Any, hosts: Sequence[str]) -> Step:
    if isinstance(item, str):
        return Step(item)
    ((action, value),) = item.items()
    if action == "link":
        return Step(action, state=value)
    if action == "send":
        origin = value.get("from", "")
        if origin:
            one_of(document, [*where, action, "from"], "host", origin, hosts)
        return Step(action, int(value.get("count", Step.count)), value.get("arrives", Step.arrives), origin)
    one_of(document, [*where, action], "host", value, ["sender", *hosts])
    return Step(action, source="" if value == "sender" else value)


class _State:
    """What steps have led to."""

    def __init__(self) -> None:
        self.joined = False
        self.up = True
        self.blocked: set[str] = set()

    def next(self, step: Step) -> str | None:
        """Take a step; return what is wrong with it."""
        action = step.action
        if action == "send":
            return self._arrives(step) if step.arrives else None
        if action == "link":
            same = self.up == (step.state == "up")
            self.up = step.state == "up"
            return f"it is {step.state} already" if same else None
        if action == "join":
            before, self.joined = self.joined, True
            return "it has joined already" if before else None
        if not self.joined:
            return "it has not joined before"
        if action == "leave":
            self.joined = False
            self.blocked.clear()
        elif action == "block":
            if step.source in self.blocked:
                return "it is blocked already"
            self.blocked.add(step.source)
        elif step.source not in self.blocked:
            return "it is not blocked before"
        else:
            self.blocked.remove(step.source)
        return None

    def _arrives(self, step: Step) -> str | None:
        if not self.joined:
            return "nothing can arrive before a join; write send: {arrives: false}"
        if not self.up:
            return "nothing can arrive while the link is down; write send: {arrives: false}"
        if step.origin in self.blocked:
            return "nothing can arrive from a source that is blocked; write arrives: false"
        return None
