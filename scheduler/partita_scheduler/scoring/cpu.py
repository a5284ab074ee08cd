"""CPU as nodes are judged by it: what a pod asks for, and what a node has left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from partita_plugins.contracts import NodeState, Outcome, PodShape


@dataclass(frozen=True, slots=True)
class Cpu:
    """What the pod requests, and what the node has left before it; None where nobody counts."""

    asked_milli: int = 0
    left_milli: int | None = None

    @property
    def after_milli(self) -> int | None:
        return None if self.left_milli is None else max(0, self.left_milli - self.asked_milli)


NOT_COUNTED = Cpu()


@lru_cache(maxsize=1024)
def asking(pod: PodShape, milli: int) -> PodShape:
    """The shape of a pod that asks for so much CPU too."""
    return replace(pod, cpu_milli=milli)


def with_cpu(outcome: Outcome, cpu: Cpu) -> Outcome:
    """The outcome on a node with so much CPU left."""
    if cpu == NOT_COUNTED:
        return outcome
    return Outcome(
        before=NodeState(gpus=outcome.before.gpus, cpu_milli=cpu.left_milli),
        after=NodeState(gpus=outcome.after.gpus, cpu_milli=cpu.after_milli),
        slots=outcome.slots,
        whole=outcome.whole,
        asked_mib=outcome.asked_mib,
        granted_mib=outcome.granted_mib,
        pod=asking(outcome.pod, cpu.asked_milli),
    )
