"""Claims that are not there yet, as if they were: what a simulation asks about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.cluster.view import ClusterView, Pod, PodClaimStatus


def with_more(view: ClusterView, claims: Mapping[tuple[str, str], ResourceClaim]) -> ClusterView:
    """The view as if these claims were there too."""
    return replace(view, claims={**view.claims, **claims}) if claims else view


def with_claims(pod: Pod, claims: Sequence[ResourceClaim]) -> tuple[Pod, dict[tuple[str, str], ResourceClaim]]:
    """A pod whose template claims are taken to be made, and the claims that are there then.

    The first of a template is the claim that bears its name, others have the entry's name behind that.
    """
    namespace = pod.metadata.namespace or "default"
    by_name = {one.metadata.name: one for one in claims}
    added = {(one.metadata.namespace or namespace, one.metadata.name): one for one in claims}
    statuses = {one.name: one for one in pod.status.resource_claim_statuses}
    used: set[str] = set()
    for entry in pod.spec.resource_claims:
        template = by_name.get(entry.resource_claim_template_name or "")
        if template is None or entry.name in statuses:
            continue
        name = template.metadata.name
        if name in used:
            name = f"{name}-{entry.name}"
            added[namespace, name] = _as_made(template, namespace, name, uid=name)
        used.add(name)
        statuses[entry.name] = PodClaimStatus(name=entry.name, resource_claim_name=name)
    metadata = msgspec.structs.replace(pod.metadata, namespace=namespace)
    status = msgspec.structs.replace(pod.status, resource_claim_statuses=list(statuses.values()))
    return msgspec.structs.replace(pod, metadata=metadata, status=status), added


def with_own_claims(
    pods: Sequence[Pod], templates: Sequence[ResourceClaim]
) -> tuple[list[Pod], dict[tuple[str, str], ResourceClaim]]:
    """Pods as if their claims were made: each gets one of its own from the claim that bears the template's name.

    A claim that a pod names itself is taken as it is; one without a namespace is in that of each pod that names it.
    A pod that is there twice is another one the second time.
    """
    by_name = {one.metadata.name: one for one in templates}
    claims = {
        (namespace, one.metadata.name): _as_made(one, namespace, one.metadata.name)
        for one in templates
        for namespace in _namespaces(one, pods)
    }
    ready: dict[str, Pod] = {}
    for number, pod in enumerate(pods):
        copied = pod.metadata.uid in ready
        uid = f"rehearsed-{number}" if copied or not pod.metadata.uid else pod.metadata.uid
        metadata = msgspec.structs.replace(pod.metadata, uid=uid, namespace=pod.metadata.namespace or "default")
        statuses = {one.name: one for one in pod.status.resource_claim_statuses if not copied}
        for entry in pod.spec.resource_claims:
            template = by_name.get(entry.resource_claim_template_name or "")
            if template is not None and entry.name not in statuses:
                name = f"{uid}-{entry.name}"
                claims[metadata.namespace, name] = _as_made(template, metadata.namespace, name, uid=name)
                statuses[entry.name] = PodClaimStatus(name=entry.name, resource_claim_name=name)
        status = msgspec.structs.replace(pod.status, resource_claim_statuses=list(statuses.values()))
        ready[uid] = msgspec.structs.replace(pod, metadata=metadata, status=status)
    return list(ready.values()), claims


def _namespaces(claim: ResourceClaim, pods: Sequence[Pod]) -> set[str]:
    """Where the claim is: where it says so, or where pods name it."""
    if claim.metadata.namespace:
        return {claim.metadata.namespace}
    named = (pod for pod in pods for one in pod.spec.resource_claims if one.resource_claim_name == claim.metadata.name)
    return {pod.metadata.namespace or "default" for pod in named} or {"default"}


def _as_made(claim: ResourceClaim, namespace: str, name: str, *, uid: str = "") -> ResourceClaim:
    """The claim as the API server would have it: none is without a UID, by which claims are told apart."""
    known = uid or claim.metadata.uid or f"{namespace}/{name}"
    return msgspec.structs.replace(
        claim, metadata=msgspec.structs.replace(claim.metadata, namespace=namespace, name=name, uid=known)
    )
