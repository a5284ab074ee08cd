"""What is found about one pod, for people: would it fit, where, why not there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from partita_scheduler.allocator.allocation import devices_of
from partita_scheduler.answers.eligibility import partition
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.policy.decision import Decision, scores
from partita_scheduler.policy.row import Verdict
from partita_scheduler.reasons import Reason, summarise

Decide = Callable[[ClusterView, Pod, Sequence[str]], Decision]


class ReasonReport(msgspec.Struct, frozen=True):
    """One finding: a code for machines, a clause for people."""

    code: str
    text: str


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    node: str
    fits: bool
    score: int = 0
    devices: dict[str, tuple[str, ...]] = {}
    """Claim name to the devices that kube-scheduler will take, as "pool/device"."""

    explanation: str = ""
    reasons: list[ReasonReport] = []
    undecided: bool = False


class PodReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pod: `fits` says whether any node can take it, `summary` in one line why the others can't."""

    pod: str
    fits: bool
    summary: str
    nodes: list[NodeReport]
    """Those that fit, best first, then the rest by name."""

    notes: list[str] = []


def judge(view: ClusterView, pod: Pod, decide: Decide, node_names: Sequence[str] = ()) -> PodReport:
    """Decide over the named nodes, or over all of the cluster, and say what was found."""
    known = view.nodes
    wanted: Mapping[str, object] = dict.fromkeys(node_names) if node_names else known
    open_nodes, shut = partition({name: known[name] for name in wanted if name in known}, pod)
    strangers = {name: (Reason("unknown_node", "unknown node"),) for name in wanted if name not in known}
    return describe(pod.key, decide(view, pod, open_nodes), {**shut, **strangers})


def describe(pod: str, decision: Decision, shut: Mapping[str, tuple[Reason, ...]] | None = None) -> PodReport:
    """A decision as a report. `shut` are nodes that were not asked about, with the reason."""
    shut = shut or {}
    found = scores(decision, list(decision.verdicts))
    fitting = [_node(decision.verdicts[name], found) for name in decision.order if name in decision.verdicts]
    refused = {name: _refusal(decision, verdict) for name, verdict in decision.verdicts.items()}
    fits = set(decision.order)
    rest = {name: reasons for name, reasons in {**refused, **shut}.items() if name not in fits}
    undecided = {name for name, verdict in decision.verdicts.items() if verdict.undecided}
    others = [
        NodeReport(
            node=name,
            fits=False,
            undecided=name in undecided,
            reasons=[ReasonReport(reason.code, reason.text) for reason in reasons],
        )
        for name, reasons in sorted(rest.items())
    ]
    told = {name: reasons for name, reasons in rest.items() if reasons}
    return PodReport(
        pod=pod,
        fits=bool(decision.order),
        summary=summarise(told),
        nodes=fitting + others,
        notes=list(decision.notes),
    )


def _refusal(decision: Decision, verdict: Verdict) -> tuple[Reason, ...]:
    if verdict.node in decision.hard_refusals:
        return (Reason("wish", decision.hard_refusals[verdict.node]),)
    if verdict.undecided and not verdict.reasons:
        return (Reason("undecided", "not decided within the step budget"),)
    return verdict.reasons


def _node(verdict: Verdict, found: Mapping[str, int]) -> NodeReport:
    allocations = verdict.allocations or {}
    return NodeReport(
        node=verdict.node,
        fits=True,
        score=found.get(verdict.node, 0),
        devices={claim: devices_of(allocation) for claim, allocation in allocations.items()},
        explanation=verdict.explanation,
    )
