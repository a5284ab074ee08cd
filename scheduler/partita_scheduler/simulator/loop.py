"""One pod after another: filter with the allocator, ask the extenders, take the best, write claims, bind."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from partita_plugins.testing.apiserver import ApiError
from partita_plugins.testing.extender_client import ExtenderClient, ExtenderError, run_filters, run_prioritize
from partita_plugins.testing.kubeapi import Json, KubeApi
from partita_plugins.testing.objects import name_of, namespace_of
from partita_plugins.testing.scheduling import bind_pod, pending_pods, report_unschedulable, reserve_claim
from partita_plugins.wire.resource_claim import Allocation, DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.allocator.allocation import node_of
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.answers.eligibility import partition
from partita_scheduler.cluster.slice_index import indexed
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView, Node, Pod
from partita_scheduler.found import Policy
from partita_scheduler.policy import decision as default_policy
from partita_scheduler.reasons import Reason
from partita_scheduler.simulator.claims import decoded, make_extended_claim, written

log = structlog.get_logger(__name__)

STEP_SECONDS = 0.2
SERVER_MINOR = 36
_NO_DEVICES = (Reason("claims", "cannot allocate all claims"),)


def view_of(api: KubeApi) -> ClusterView:
    """The cluster as it is now, read whole."""
    slices = (decoded(found, ResourceSlice) for found in api.list("ResourceSlice"))
    rules = (decoded(found, DeviceTaintRule) for found in api.list("DeviceTaintRule"))
    everything = rules_for(SERVER_MINOR).rule_without_selector_taints_all
    return ClusterView(
        nodes={name_of(node): decoded(node, Node) for node in api.list("Node")},
        slices=indexed(slices, rules, all_without_selector=everything),
        classes={name_of(found): decoded(found, DeviceClass) for found in api.list("DeviceClass")},
        claims={(namespace_of(c), name_of(c)): decoded(c, ResourceClaim) for c in api.list("ResourceClaim")},
        server_minor=SERVER_MINOR,
    )


class EmbeddedScheduler:
    """`step()` tries every pending pod once, oldest first; `run()` does it until stopped.

    Its in-tree filter is the policy's own allocator, so it cannot prove that kube-scheduler allocates alike.
    """

    def __init__(
        self,
        api: KubeApi,
        extenders: Sequence[ExtenderClient] = (),
        *,
        view: Callable[[], ClusterView] | None = None,
        policy: Policy = default_policy,
        seed: int | None = None,
    ) -> None:
        self._api, self._extenders, self._policy = api, extenders, policy
        self._view = view or (lambda: view_of(api))
        self._random = random.Random(seed)  # noqa: S311  # ties, not secrets

    def run(self, stopping: threading.Event) -> None:
        while not stopping.wait(STEP_SECONDS):
            try:
                self.step()
            except ApiError as error:
                log.warning("the next step tries again", error=str(error))

    def step(self) -> int:
        """The number of pods that got a node."""
        return sum(self._schedule(pod) for pod in pending_pods(self._api))

    def _schedule(self, raw: Json) -> bool:
        pod: Pod = decoded(raw, Pod)
        view = self._view()
        claims = claims_of(pod, view)
        if claims is None:
            return False  # a claim is still to be made
        fitting, refused = self._fitting(view, pod, claims)
        if not fitting:
            return self._report(raw, refused)
        try:
            result = run_filters(self._extenders, raw, sorted(fitting))
        except ExtenderError as error:
            report_unschedulable(self._api, raw, str(error))
            return False
        if not result.nodes:
            gone = {node: (Reason("extender", text),) for node, text in {**result.failed, **result.never}.items()}
            return self._report(raw, {**refused, **gone})
        totals = run_prioritize(self._extenders, raw, result.nodes)
        best = max(totals.values())
        node = self._random.choice([name for name in result.nodes if totals[name] == best])
        return self._bind(raw, view, node, claims, fitting[node])

    def _fitting(
        self, view: ClusterView, pod: Pod, claims: Sequence[ResourceClaim]
    ) -> tuple[dict[str, Mapping[str, Allocation]], dict[str, tuple[Reason, ...]]]:
        """Nodes that fit with the allocations that the pod would get there, and the rest with the reason."""
        names, refused = partition(view.nodes, pod)
        bound_to = {node_of(claim.status.allocation) for claim in claims if claim.status.allocation} - {""}
        if bound_to:
            refused |= {name: _NO_DEVICES for name in names if {name} != bound_to}
            names = [name for name in names if {name} == bound_to]
        if not self._policy.concerns_us(view, pod):
            return {name: {} for name in names}, refused
        verdicts = self._policy.decide(view, pod, names).verdicts
        fitting = {name: verdict.allocations for name, verdict in verdicts.items() if verdict.allocations is not None}
        return fitting, refused | {name: _NO_DEVICES for name in names if name not in fitting}

    def _bind(
        self,
        raw: Json,
        view: ClusterView,
        node: str,
        claims: Sequence[ResourceClaim],
        allocations: Mapping[str, Allocation],
    ) -> bool:
        namespace = namespace_of(raw)
        try:
            for claim in claims:
                found = allocations.get(claim.metadata.name)
                full = written(found, claim, view.classes, node) if found else None
                reserve_claim(self._api, self._api.get("ResourceClaim", claim.metadata.name, namespace), raw, full)
            if extended := allocations.get(EXTENDED_CLAIM_NAME):
                made = make_extended_claim(self._api, raw, extended, view.classes)
                full = written(extended, decoded(made, ResourceClaim), view.classes, node)
                reserve_claim(self._api, made, raw, full)
            bind_pod(self._api, raw, node)
        except ApiError as error:
            log.warning("not bound; tried again with the next step", pod=name_of(raw), error=str(error))
            return False
        return True

    def _report(self, raw: Json, refused: Mapping[str, tuple[Reason, ...]]) -> bool:
        counts: dict[str, int] = {}
        for reasons in refused.values():
            for reason in reasons:
                counts[reason.text] = counts.get(reason.text, 0) + 1
        told = ", ".join(f"{count} {text}" for text, count in sorted(counts.items()))
        report_unschedulable(self._api, raw, f"0/{len(refused)} nodes are available: {told}.")
        return False


def claims_of(pod: Pod, view: ClusterView) -> list[ResourceClaim] | None:
    """The pod's claims, or None while one of them is not there yet."""
    made = {status.name: status for status in pod.status.resource_claim_statuses}
    found: list[ResourceClaim] = []
    for entry in pod.spec.resource_claims:
        status = made.get(entry.name)
        if status is not None and status.resource_claim_name is None:
            continue  # this pod needs none
        name = entry.resource_claim_name or (status.resource_claim_name if status else None)
        claim = view.claims.get((pod.metadata.namespace, name or ""))
        if claim is None:
            return None
        found.append(claim)
    return found
