"""One node for one pod: what would be allocated there and how good that is, computed once for equal machines."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from partita_plugins.contracts import Workload
from partita_plugins.errors import PartitaError
from partita_plugins.model.quantity import MIB, format_mib
from partita_plugins.scorers.links import linked_pairwise, rows, slot_list
from partita_scheduler.allocator.in_use import NOTHING, Uses
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.nodes import NodePools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.allocator.plan import ClaimPlan
from partita_scheduler.allocator.result import Abort, Budget, OutOfSteps, Pick
from partita_scheduler.allocator.rules import Rules
from partita_scheduler.allocator.search import Search
from partita_scheduler.allocator.why_not import why_not
from partita_scheduler.cel.selector import CelError, CelUnsupported
from partita_scheduler.policy.layout import layout
from partita_scheduler.policy.state import Cpu, outcome
from partita_scheduler.reasons import Reason
from partita_scheduler.scoring.ranking import Rank, Scoring, ranking_of

STEPS_PER_NODE = 50_000
"""Devices looked at for one node, about 0.1 s; an ordinary pod needs fewer than a thousand."""

MAX_REMEMBERED = 50_000

TAKES = "topology"
"""The scorer whose clause names the whole GPUs."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What holds for every node with the same content and use."""

    picks: tuple[tuple[Pick, ...], ...] | None = None
    reasons: tuple[Reason, ...] = ()
    undecided: bool = False
    rank: Rank = ()
    """Figures; the order comes from all candidates' together (scoring.Ranking.grades)."""

    explanation: str = ""
    whole: tuple[int, ...] = ()
    """GPUs that the pod gets entirely."""

    nvlink: bool = True
    """Whether every two of them are joined by NVLink."""


Picks = tuple[tuple[Pick, ...], ...]
"""For each claim."""

_searched: dict[Hashable, Picks | Judgement] = {}
"""What kube-scheduler will take of a content, or why nothing: the same whatever pods are expected."""

_remembered: dict[Hashable, Judgement] = {}
V = TypeVar("V")
plan_numbers = Numbers()


@dataclass(frozen=True, slots=True)
class Outlook:
    """By what a node is judged, beside its devices."""

    scoring: Scoring
    workload: Workload
    cpu: Cpu


def judge(
    offered: NodePools,
    uses: Uses,
    plans: tuple[ClaimPlan, ...],
    *,
    rules: Rules,
    budget: Budget,
    outlook: Outlook,
) -> Judgement:
    """The judgement of a node, from memory where an equal one was judged. Spends steps only where nobody searched."""
    alone = offered.serial if any(plan.reads_everything for plan in plans) else 0
    use = tuple(uses.get(pool.id, NOTHING).key for pool in offered.pools)
    content = (plan_numbers.of(plans), offered.shape, use, rules, alone)
    found = _remembered.get((content, outlook))
    if found is None:
        picks = _searched.get(content)
        if picks is None:
            own = Budget(min(STEPS_PER_NODE, max(0, budget.steps)))
            granted = own.steps
            picks = _picked(offered.pools, uses, plans, rules, own)
            budget.steps -= granted - max(0, own.steps)
            if isinstance(picks, Judgement) and picks.undecided and granted < STEPS_PER_NODE:
                return picks  # With all steps it may be another.
            _remember(_searched, content, picks)
        found = picks if isinstance(picks, Judgement) else _judged(offered.pools, uses, picks, outlook)
        _remember(_remembered, (content, outlook), found)
    return found


def _remember(memory: dict[Hashable, V], key: Hashable, value: V) -> None:
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    memory[key] = value


def _picked(
    pools: tuple[InputPool, ...], uses: Uses, plans: tuple[ClaimPlan, ...], rules: Rules, budget: Budget
) -> Picks | Judgement:
    """What kube-scheduler will take, or why there is nothing."""
    try:
        picks = Search(pools, uses, plans, rules, budget).run()
    except (Abort, CelError) as error:
        return Judgement(reasons=(Reason("abort", f"kube-scheduler gives up: {error}"),))
    except (CelUnsupported, OutOfSteps, RecursionError) as error:
        text = str(error) if isinstance(error, PartitaError) else "the pod asks for too many devices"
        return Judgement(undecided=True, reasons=(Reason("undecided", f"no opinion: {text}"),))
    return Judgement(reasons=why_not(pools, uses, plans, rules)) if picks is None else picks


def _judged(pools: tuple[InputPool, ...], uses: Uses, picks: Picks, outlook: Outlook) -> Judgement:
    flat = [pick for claim in picks for pick in claim]
    result, ranking = outcome(pools, uses, flat, outlook.cpu), ranking_of(outlook.scoring)
    chosen = {(c, pick.request) for c, claim in enumerate(picks) for pick in claim}
    places = float(sum(request.alternative for _, request in chosen))
    return Judgement(
        picks=picks,
        rank=ranking.rank(places, result, outlook.workload),
        explanation=_explain(pools, flat, result.whole, ranking.explain(result)),
        whole=result.whole,
        nvlink=linked_pairwise(rows(result.before), result.whole),
    )


def _explain(pools: tuple[InputPool, ...], picks: list[Pick], whole: tuple[int, ...], clauses: dict[str, str]) -> str:
    named = clauses.get(TAKES) or (slot_list(whole) if whole else "")
    parts = [named, *(_part(pools[pick.pool], pick) for pick in picks)]
    taken = "takes " + ", ".join(part for part in parts if part)
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
