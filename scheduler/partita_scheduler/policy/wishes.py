"""Wishes that the API cannot express, as annotations gpu.partita.dev/... on a claim or pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partita_plugins.scorers.links import slot_list
from partita_plugins.wire import DRIVER_NAME
from partita_scheduler.policy.node import Judgement

PREFIX = f"{DRIVER_NAME}/"
TOPOLOGY = f"{PREFIX}topology"
OTHERS = frozenset({f"{PREFIX}plan"})
"""Keys with our prefix that other parts of Partita write."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked by annotation."""

    nvlink: bool = False
    """Strict: every two GPUs of the pod joined by NVLink."""

    notes: tuple[str, ...] = ()
    """Annotations that nobody understands."""

    @property
    def strict(self) -> bool:
        """Whether a node may have to be refused."""
        return self.nvlink

    def refusal(self, found: Judgement) -> str:
        """Why the node must be refused; empty if it need not."""
        if self.nvlink and not found.nvlink:
            return f"{slot_list(found.whole)} are not all joined by NVLink"
        return ""


def wishes(annotations: Mapping[str, str]) -> Wishes:
    """The wishes in a set of annotations."""
    nvlink, notes = False, []
    for key, value in sorted(annotations.items()):
        if key == TOPOLOGY and value == "nvlink":
            nvlink = True
        elif key == TOPOLOGY:
            notes.append(f"annotation {TOPOLOGY}: {value[:40]!r} is unknown, write nvlink")
        elif key.startswith(PREFIX) and key not in OTHERS:
            notes.append(f"annotation {key[:80]} is unknown")
    return Wishes(nvlink, tuple(notes))
