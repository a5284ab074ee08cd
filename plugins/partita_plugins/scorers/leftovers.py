"""What a placement takes from the sets of GPUs that others may still want."""

from __future__ import annotations

from partita_plugins.contracts import NodeState, Outcome
from partita_plugins.scorers.links import matrix, rows
from partita_plugins.scorers.masks import places
from partita_plugins.scorers.sets import mask_of, sets_of


class LeftoversScorer:
    """The least loss wins: a GPU without NVLink before one with, the odd one of a broken quad before a fresh one."""

    name = "leftovers"

    def score(self, outcome: Outcome) -> float:
        """What GB/s others lose: of sets, each times its GPUs, and of each GPU's own best hop."""
        return round(left(outcome.before) - left(outcome.after), 1)

    def explain(self, outcome: Outcome) -> str:
        """ "leaves 6 GPUs untouched"."""
        return f"leaves {len(_untouched(outcome.after))} GPUs untouched" if outcome.whole else ""


def left(state: NodeState) -> float:
    """What the untouched GPUs of a node offer: the best disjoint sets, and hops to neighbours that may come back."""
    links, untouched = rows(state), _untouched(state)
    mask = mask_of(links, untouched)
    hops = matrix(links)
    return sets_of(links).left(mask) + sum(max(hops[place]) for place in places(mask))


def _untouched(state: NodeState) -> list[int]:
    return [slot for slot, gpu in state.gpus.items() if not gpu.taken]
