"""Many pods, one after the other, as if each went to its best node: what an autoscaler asks. Nothing is changed by it.

Nodes of which the same is found are told together: a fleet has few kinds of nodes, and thousands of nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from partita_plugins.errors import InvalidInput
from partita_scheduler.allocator.allocation import devices_of
from partita_scheduler.answers.eligibility import partition
from partita_scheduler.answers.report import ReasonReport
from partita_scheduler.assumed.assumptions import MAX_OPTIONS, Assumptions
from partita_scheduler.cluster.cpu import BoundPod, CpuTally, cpu_milli, nobody_counts
from partita_scheduler.cluster.view import ClusterView, Pod
from partita_scheduler.found import Found
from partita_scheduler.kept.state import KeptState
from partita_scheduler.metrics import Metrics
from partita_scheduler.reasons import Reason, summarise

MOST_SECONDS = 6.0
"""For all pods of one rehearsal. Its client is cut off after ten, and the answer of a large fleet is a hundred MB."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of which the same is found."""

    nodes: list[str]
    """Those that fit best first, others by name."""

    explanation: str = ""
    """What a pod would get there, and what that leaves."""

    reasons: list[ReasonReport] = []
    """Why it does not fit."""

    undecided: bool = False


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where one pod would go, after those before it."""

    pod: str
    fits: bool
    node: str = ""
    """Our first choice; empty where nothing fits, or where all nodes are equal to us."""

    devices: dict[str, tuple[str, ...]] = {}
    """Claim name to the devices that kube-scheduler will take there, as "pool/device"."""

    feasible: list[Group] = []
    refused: list[Group] = []
    summary: str = ""
    """In one line why the refused ones cannot."""

    notes: list[str] = []


def rehearse(
    view: ClusterView,
    pods: Sequence[Pod],
    node_names: Sequence[str] = (),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> list[Placement]:
    """Place the pods in order on the named nodes, or on all, with what the view assumes and what those before got.

    Raises InvalidInput where that takes more than MOST_SECONDS.
    """
    end = clock() + MOST_SECONDS
    rehearsal, placements = Rehearsal(view), list[Placement]()
    for pod in pods:
        if clock() >= end:
            raise InvalidInput(
                f"{len(placements)} of {len(pods)} pods were placed in {MOST_SECONDS:.0f} s",
                advice="ask about fewer pods at once, or name fewer nodes in nodeNames",
            )
        placements.append(rehearsal.place(pod, node_names))
    return placements


class Rehearsal:
    """A kept state of its own, made from a snapshot."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._tally = CpuTally.leaving(view.nodes.values(), view.cpu_left_milli)
        cpu_left = self._tally.left_milli if view.cpu_left_milli else nobody_counts
        # Nobody gives up on it after half a second: its time stands still.
        self._state = KeptState(
            lambda: view.slices, lambda: view.server_minor, view.scoring, cpu_left, clock=lambda: 0.0
        )
        self._assumptions = Assumptions(Metrics(), seconds=float("inf"), listener=self._state.told.assumption_changed)
        self._state.told.workload_changed(view.workload)
        for device_class in view.classes.values():
            self._state.told.class_changed(None, device_class)
        for node in view.nodes.values():
            self._state.told.node_changed(None, node)
        for claim in view.claims.values():
            self._state.told.claim_changed(None, claim)
        self._own: dict[str, list[str]] = {}
        """Pods to the keys of what is assumed for them."""

        for key, assumed in view.assumed.items():
            self._state.told.assumption_changed(key, assumed)
            self._own.setdefault(assumed.pod_uid, []).append(key)

    def place(self, pod: Pod, node_names: Sequence[str]) -> Placement:
        """Where the next pod would go."""
        known = self._view.nodes
        wanted = {name: known[name] for name in node_names or known if name in known}
        names, shut = partition(wanted, pod)
        shut |= {name: (Reason("unknown_node", "unknown node"),) for name in node_names if name not in known}
        for key in self._own.pop(pod.metadata.uid, ()):
            self._state.told.assumption_changed(key, None)
        found = self._state.find(pod, names)
        if found is None:
            groups = [Group(nodes=names, explanation="no device claims: all nodes are equal to us")] if names else []
            return Placement(
                pod=pod.key, fits=bool(names), feasible=groups, refused=_refused(shut), summary=summarise(shut)
            )
        return self._chosen(pod, found, names, shut)

    def _chosen(self, pod: Pod, found: Found, names: Sequence[str], shut: dict[str, tuple[Reason, ...]]) -> Placement:
        among = found.among(names)
        decision = among.decision()
        best = among.best
        devices: dict[str, tuple[str, ...]] = {}
        if best:
            chosen = among.options(best, MAX_OPTIONS)
            allocations = chosen.verdicts[best].allocations or {}
            devices = {name: devices_of(allocation) for name, allocation in allocations.items()}
            self._assumptions.assume(found.view, pod, best, chosen)
            self._tally.change(None, BoundPod(node_name=best, requested_milli=cpu_milli(pod)))
            self._state.told.cpu_changed(best)
        fitting = dict.fromkeys(decision.order)
        feasible: dict[str, list[str]] = {}
        for name in fitting:
            feasible.setdefault(among.brief(name).explanation, []).append(name)
        verdicts = {name: among.brief(name) for name in sorted(names) if name not in fitting}
        reasons = {name: verdict.reasons for name, verdict in verdicts.items()}
        undecided = {name for name, verdict in verdicts.items() if verdict.undecided}
        return Placement(
            pod=pod.key,
            fits=bool(best),
            node=best,
            devices=devices,
            feasible=[Group(nodes=nodes, explanation=words) for words, nodes in feasible.items()],
            refused=_refused({**reasons, **shut}, undecided),
            summary=summarise({**reasons, **shut}),
            notes=list(decision.notes),
        )


def _refused(reasons: dict[str, tuple[Reason, ...]], undecided: Iterable[str] = ()) -> list[Group]:
    unsure = frozenset(undecided)
    groups: dict[tuple[tuple[Reason, ...], bool], list[str]] = {}
    for name in sorted(reasons):
        groups.setdefault((reasons[name], name in unsure), []).append(name)
    return [
        Group(nodes=nodes, reasons=[ReasonReport(one.code, one.text) for one in found], undecided=open_)
        for (found, open_), nodes in groups.items()
    ]
