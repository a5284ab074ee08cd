"""Bandwidth among the whole GPUs that a pod would get, then how little bandwidth is taken from the GPUs still free."""

from __future__ import annotations

from partita_plugins.contracts import NodeState, Outcome
from partita_plugins.scorers.links import best_bandwidth, linked_pairwise, pairs, rows, set_bandwidth

_LOSS_UNIT = 1e-6
"""Turns lost GB/s into a fraction of the smallest difference in the pod's own bandwidth (a node has under 1e6 GB/s)."""

_DIGITS = 9


class TopologyScorer:
    """For several GPUs the fastest set wins; among equally fast ones, and for one GPU, the least useful leftovers."""

    name = "topology"

    def score(self, outcome: Outcome) -> float:
        """Minus the GB/s of the set's weakest hop, plus a fraction for what free GPUs lose. 0 for partitions."""
        if not outcome.whole:
            return 0.0
        lost = free_bandwidth(outcome.before) - free_bandwidth(outcome.after)
        return round(lost * _LOSS_UNIT - round(set_bandwidth(rows(outcome.before), outcome.whole)), _DIGITS)

    def explain(self, outcome: Outcome) -> str:
        """ "GPUs 4 and 5 over NVLink (450 GB/s)"."""
        if not outcome.whole:
            return ""
        names = slot_list(outcome.whole)
        if len(outcome.whole) == 1:
            return names
        links = rows(outcome.before)
        speed, best = set_bandwidth(links, outcome.whole), best_bandwidth(links, len(outcome.whole))
        medium = (
            "NVLink" if linked_pairwise(links, outcome.whole) else "PCIe" if speed <= _slow(links) else "mixed links"
        )
        rest = f", {best:.0f} at best on this machine" if best > speed else ""
        return f"{names} over {medium} ({speed:.0f} GB/s{rest})"


def free_bandwidth(state: NodeState) -> float:
    """Sum of GB/s over all pairs of untouched GPUs."""
    free = {slot for slot, gpu in state.gpus.items() if not gpu.taken}
    return sum(gbps for (a, b), (gbps, _) in pairs(rows(state)).items() if a in free and b in free)


def slot_list(slots: tuple[int, ...]) -> str:
    """ "GPU 4", "GPUs 4 and 5", "GPUs 0, 1, 2 and 3"."""
    if len(slots) == 1:
        return f"GPU {slots[0]}"
    return f"GPUs {', '.join(map(str, slots[:-1]))} and {slots[-1]}"


def _slow(links: tuple[tuple[int, tuple[int, ...], str, int], ...]) -> float:
    """The fastest hop without NVLink."""
    return max((gbps for gbps, nvlink in pairs(links).values() if not nvlink), default=0.0)
