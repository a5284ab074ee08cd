"""One node for one pod: what would be allocated there and how good that is, computed once for equal machines."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import cast

from partita_plugins.contracts import Outcome, Scorer
from partita_plugins.errors import PartitaError
from partita_plugins.model.quantity import MIB, format_mib
from partita_plugins.registry import load
from partita_plugins.scorers.links import linked_pairwise, rows
from partita_scheduler.allocator.in_use import NOTHING, Uses
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.nodes import NodePools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.allocator.plan import ClaimPlan
from partita_scheduler.allocator.result import Abort, Budget, OutOfSteps, Pick
from partita_scheduler.allocator.rules import Rules
from partita_scheduler.allocator.search import Search
from partita_scheduler.allocator.why_not import why_not
from partita_scheduler.cel import CelError, CelUnsupported
from partita_scheduler.policy_state import layout, outcome
from partita_scheduler.reasons import Reason

SCORERS = ("topology", "memory", "fragmentation", "leftovers")
"""In the order in which they decide."""

STEPS_PER_NODE = 50_000
"""Devices looked at for one node, about 0.1 s; an ordinary pod needs fewer than a thousand."""

MAX_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What holds for every node with the same content and use."""

    picks: tuple[tuple[Pick, ...], ...] | None = None
    reasons: tuple[Reason, ...] = ()
    undecided: bool = False
    rank: tuple[float, ...] = ()
    explanation: str = ""
    whole: tuple[int, ...] = ()
    """GPUs that the pod gets entirely."""

    nvlink: bool = True
    """Whether every two of them are joined by NVLink."""


_remembered: dict[Hashable, Judgement] = {}
plan_numbers = Numbers()


def judge(offered: NodePools, uses: Uses, plans: tuple[ClaimPlan, ...], *, rules: Rules, budget: Budget) -> Judgement:
    """The judgement of a node, from memory where an equal one was judged. Spends steps only otherwise."""
    alone = offered.serial if any(plan.reads_everything for plan in plans) else 0
    use = tuple(uses.get(pool.id, NOTHING).key for pool in offered.pools)
    key = (plan_numbers.of(plans), offered.shape, use, rules, alone)
    found = _remembered.get(key)
    if found is None:
        own = Budget(min(STEPS_PER_NODE, max(0, budget.steps)))
        granted = own.steps
        found = _judge(offered.pools, uses, plans, rules, own)
        budget.steps -= granted - max(0, own.steps)
        if granted == STEPS_PER_NODE or not found.undecided:
            if len(_remembered) >= MAX_REMEMBERED:
                _remembered.clear()
            _remembered[key] = found
    return found


def _judge(
    pools: tuple[InputPool, ...], uses: Uses, plans: tuple[ClaimPlan, ...], rules: Rules, budget: Budget
) -> Judgement:
    try:
        picks = Search(pools, uses, plans, rules, budget).run()
        if picks is None:
            return Judgement(reasons=why_not(pools, uses, plans, rules))
    except (Abort, CelError) as error:
        return Judgement(reasons=(Reason("abort", f"kube-scheduler gives up: {error}"),))
    except (CelUnsupported, OutOfSteps, RecursionError) as error:
        text = str(error) if isinstance(error, PartitaError) else "the pod asks for too many devices"
        return Judgement(undecided=True, reasons=(Reason("undecided", f"no opinion: {text}"),))
    flat = [pick for claim in picks for pick in claim]
    result = outcome(pools, uses, flat)
    scores = [scorer.score(result) for scorer in scorers()]
    chosen = {(c, pick.request) for c, claim in enumerate(picks) for pick in claim}
    places = float(sum(request.alternative for _, request in chosen))
    return Judgement(
        picks=picks,
        rank=(places, *scores),
        explanation=_explain(pools, flat, result),
        whole=result.whole,
        nvlink=linked_pairwise(rows(result.before), result.whole),
    )


@lru_cache(maxsize=1)
def scorers() -> tuple[Scorer, ...]:
    """The scorer plugins, most important first."""
    return tuple(cast("Scorer", load("partita.scorers", name)()) for name in SCORERS)


def _explain(pools: tuple[InputPool, ...], picks: list[Pick], result: Outcome) -> str:
    topology, *others = (scorer.explain(result) for scorer in scorers())
    parts = [topology, *(_part(pools[pick.pool], pick) for pick in picks)]
    taken = "takes " + ", ".join(part for part in parts if part)
    return "; ".join([taken, *(clause for clause in others if clause)])


def _part(pool: InputPool, pick: Pick) -> str:
    """A partition, a share, a monitor or another driver's device; whole GPUs are the topology's to tell."""
    found = layout(pool)
    piece = found.pieces[pick.device] if found else None
    if piece is None or not piece.units:
        return pool.devices[pick.device].name
    slot = ", ".join(map(str, sorted(piece.units)))
    if pick.consumed is not None:
        return f"{format_mib(int(dict(pick.consumed).get('memory', Decimal(0)) / MIB))} of GPU {slot}"
    return f"{piece.shape} on GPU {slot}" if piece.shape not in {"gpu", "group"} else ""
