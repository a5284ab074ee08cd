"""What a pod would take of a node, whatever CPU it has left: searched once for equal machines in equal use."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from partita_plugins.contracts import Outcome
from partita_plugins.errors import PartitaError
from partita_plugins.model.quantity import MIB, format_mib
from partita_plugins.scorers.links import linked_pairwise, rows, slot_list
from partita_scheduler.allocator.in_use import NOTHING, Uses
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.nodes import NodePools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.allocator.plan import ClaimPlan
from partita_scheduler.allocator.result import Abort, Budget, OutOfSteps, Pick, Unsure
from partita_scheduler.allocator.rules import Rules
from partita_scheduler.allocator.search import Search
from partita_scheduler.allocator.why_not import why_not
from partita_scheduler.cel.selector import CelError, CelUnsupported
from partita_scheduler.policy.layout import layout
from partita_scheduler.policy.state import outcome
from partita_scheduler.reasons import Reason
from partita_scheduler.scoring.ranking import Scoring, ranking_of

STEPS_PER_NODE = 50_000
"""Devices looked at for one node, about 0.1 s; an ordinary pod needs fewer than a thousand."""

MAX_SEARCHED = 30_000
"""Each some 2 KB."""

TAKES = "topology"
"""The scorer whose clause names the whole GPUs."""

Picks = tuple[tuple[Pick, ...], ...]
"""For each claim."""


@dataclass(frozen=True, slots=True, eq=False)
class Taking:
    """What holds for every node with the same devices in the same use. One object for all of them."""

    picks: Picks
    place: float
    """Sum of the places of the alternatives that were chosen."""

    outcome: Outcome
    """Without CPU."""

    nvlink: bool
    """Whether every two of the whole GPUs are joined by NVLink."""

    parts: tuple[str, ...]
    """Words for each pick; empty for a whole GPU, which the topology names."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why a pod would take nothing there."""

    reasons: tuple[Reason, ...]
    undecided: bool = False


_searched: dict[Hashable, Taking | Nothing] = {}
"""By content: the same whatever pods are expected."""

plan_numbers = Numbers()


def take(
    offered: NodePools, uses: Uses, plans: tuple[ClaimPlan, ...], *, rules: Rules, budget: Budget
) -> Taking | Nothing:
    """What kube-scheduler will take, from memory where it was searched for. Spends steps only where nobody searched."""
    alone = offered.serial if any(plan.reads_everything for plan in plans) else 0
    use = tuple(uses.get(pool.id, NOTHING).key for pool in offered.pools)
    content = (plan_numbers.of(plans), offered.shape, use, rules, alone)
    found = _searched.get(content)
    if found is None:
        own = Budget(min(STEPS_PER_NODE, max(0, budget.steps)))
        granted = own.steps
        found = _picked(offered.pools, uses, plans, rules, own)
        budget.steps -= granted - max(0, own.steps)
        if isinstance(found, Nothing) and found.undecided and granted < STEPS_PER_NODE:
            return found  # With all steps it may be another.
        if len(_searched) >= MAX_SEARCHED:
            _searched.clear()
        _searched[content] = found
    return found


def _picked(
    pools: tuple[InputPool, ...], uses: Uses, plans: tuple[ClaimPlan, ...], rules: Rules, budget: Budget
) -> Taking | Nothing:
    try:
        picks = Search(pools, uses, plans, rules, budget).run()
    except (Abort, CelError) as error:
        return Nothing((Reason("abort", f"kube-scheduler gives up: {error}"),))
    except (CelUnsupported, OutOfSteps, Unsure, RecursionError) as error:
        text = str(error) if isinstance(error, PartitaError) else "the pod asks for too many devices"
        return Nothing((Reason("undecided", f"no opinion: {text}"),), undecided=True)
    return Nothing(why_not(pools, uses, plans, rules)) if picks is None else _taking(pools, uses, picks)


def _taking(pools: tuple[InputPool, ...], uses: Uses, picks: Picks) -> Taking:
    flat = [pick for claim in picks for pick in claim]
    result = outcome(pools, uses, flat)
    chosen = {(c, pick.request) for c, claim in enumerate(picks) for pick in claim}
    return Taking(
        picks=picks,
        place=float(sum(request.alternative for _, request in chosen)),
        outcome=result,
        nvlink=len(result.whole) < 2 or linked_pairwise(rows(result.before), result.whole),
        parts=tuple(_part(pools[pick.pool], pick) for pick in flat),
    )


@lru_cache(maxsize=8192)
def words(taking: Taking, scoring: Scoring) -> str:
    """In plain words what is taken, and what the scorers say of it."""
    clauses = ranking_of(scoring).explain(taking.outcome)
    whole = taking.outcome.whole
    named = clauses.get(TAKES) or (slot_list(whole) if whole else "")
    taken = "takes " + ", ".join(part for part in (named, *taking.parts) if part)
    return "; ".join([taken, *(clause for name, clause in clauses.items() if name != TAKES)])


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
