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


def with_claims(pod: Pod, claims: Sequence[ResourceClaim]) -> Pod:
    """A pod whose template claims are taken to be made: each by the claim that bears the template's name."""
    names = {claim.metadata.name for claim in claims}
    known = {status.name for status in pod.status.resource_claim_statuses}
    made = [
        PodClaimStatus(name=entry.name, resource_claim_name=entry.resource_claim_template_name)
        for entry in pod.spec.resource_claims
        if entry.name not in known and entry.resource_claim_template_name in names
    ]
    statuses = [*pod.status.resource_claim_statuses, *made]
    return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, resource_claim_statuses=statuses))


def with_own_claims(
    pods: Sequence[Pod], templates: Sequence[ResourceClaim]
) -> tuple[list[Pod], dict[tuple[str, str], ResourceClaim]]:
    """Pods as if their claims were made: each gets one of its own from the claim that bears the template's name.

    A claim that a pod names itself is taken as it is.
    """
    by_name = {one.metadata.name: one for one in templates}
    claims = {(one.metadata.namespace or "default", one.metadata.name): one for one in templates}
    ready: list[Pod] = []
    for number, pod in enumerate(pods):
        uid = pod.metadata.uid or f"rehearsed-{number}"
        metadata = msgspec.structs.replace(pod.metadata, uid=uid, namespace=pod.metadata.namespace or "default")
        statuses = {one.name: one for one in pod.status.resource_claim_statuses}
        for entry in pod.spec.resource_claims:
            template = by_name.get(entry.resource_claim_template_name or "")
            if template is not None and entry.name not in statuses:
                name = f"{uid}-{entry.name}"
                own = msgspec.structs.replace(template.metadata, name=name, namespace=metadata.namespace, uid=name)
                claims[metadata.namespace, name] = msgspec.structs.replace(template, metadata=own)
                statuses[entry.name] = PodClaimStatus(name=entry.name, resource_claim_name=name)
        status = msgspec.structs.replace(pod.status, resource_claim_statuses=list(statuses.values()))
        ready.append(msgspec.structs.replace(pod, metadata=metadata, status=status))
    return ready, claims
