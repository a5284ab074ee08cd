"""Growth of fragmentation: free parts of GPUs that some kind of request can no longer use.

Uniform FGD over the kinds of devices that a node offers: a kind counts all free units of a GPU on which it fits
nowhere, else the free units that none of its possible placements covers. As good as the best policies known for MIG,
whatever the order inside the node.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

from partita_plugins.contracts import GpuState, Outcome, ProfileShape
from partita_plugins.model.quantity import format_mib

_DIGITS = 6


class FragmentationScorer:
    """The least growth wins, so what is fragmented already is filled first."""

    name = "fragmentation"

    def score(self, outcome: Outcome) -> float:
        """Fragmentation after minus before, over the GPUs that the pod would share with others."""
        before, after = outcome.before.gpus, outcome.after.gpus
        parted = [slot for slot in outcome.slots if slot not in outcome.whole]
        return round(sum(fragmentation(after[slot]) - fragmentation(before[slot]) for slot in parted), _DIGITS)

    def explain(self, outcome: Outcome) -> str:
        """ "leaves 3g free on GPU 6"."""
        left = [_left(slot, outcome.after.gpus[slot]) for slot in outcome.slots if slot not in outcome.whole]
        return f"leaves {', '.join(left)}" if left else ""


def fragmentation(gpu: GpuState) -> float:
    """Units that are free and of no use, summed over the kinds of devices offered."""
    if gpu.shared_free_mib is not None:
        # Free memory of a shared GPU is of use to shares only. The root makes the fullest GPU the best to fill.
        return max(1, len(gpu.profiles)) * gpu.units * sqrt(gpu.shared_free_mib / max(1, gpu.memory_mib))
    return float(unusable(gpu.profiles, gpu.free))


@lru_cache(maxsize=65536)
def unusable(profiles: tuple[ProfileShape, ...], free: frozenset[int]) -> int:
    """The FGD sum for one set of free units."""
    return sum(len(free) - len(covered(profile, free)) for profile in profiles)


def covered(profile: ProfileShape, free: frozenset[int]) -> frozenset[int]:
    """Free units that some placement of the profile could still use."""
    placements = (frozenset(range(start, start + profile.size)) for start in profile.starts)
    return frozenset().union(*(units for units in placements if units <= free))


def _left(slot: int, gpu: GpuState) -> str:
    if gpu.shared_free_mib is not None:
        return f"{format_mib(gpu.shared_free_mib)} of GPU {slot} to share"
    largest = next((profile.shape for profile in gpu.profiles if covered(profile, gpu.free)), None)
    return f"{largest} free on GPU {slot}" if largest else f"nothing on GPU {slot}"
