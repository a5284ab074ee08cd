"""Pods: the defaults that readers rely on, references to claims, and which fields stay as they are."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.rules.names import Problems, is_dns_label

GRACE_SECONDS = 30

_MUTABLE_SPEC = ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "schedulingGates", "nodeName")
_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def new_pod(obj: Json) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def default_pod(obj: Json, _now: str) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    for container in spec.get("containers") or []:
        container.setdefault("resources", {})
        limits = container["resources"].get("limits") or {}
        if limits:  # a limit without a request is its own request
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}


def check_pod(obj: Json, before: Json | None, problems: Problems) -> None:
    spec = obj["spec"]
    containers = [entry for name in _CONTAINER_LISTS for entry in spec.get(name) or []]
    problems.require_value(spec.get("containers"), "spec.containers")
    problems.unique([container.get("name") for container in containers], "spec.containers")
    for index, container in enumerate(containers):
        problems.require(is_dns_label(container.get("name")), f"spec.containers[{index}].name", "must be a DNS label")
    _check_claims(spec, containers, problems)
    if before is not None:
        problems.unchanged(_fixed(before["spec"]), _fixed(spec), "spec")
        problems.unchanged(before["spec"].get("nodeName", ""), spec.get("nodeName", ""), "spec.nodeName")


def _check_claims(spec: Json, containers: list[Json], problems: Problems) -> None:
    claims = spec.get("resourceClaims") or []
    names = [claim.get("name") for claim in claims]
    problems.unique(names, "spec.resourceClaims")
    for index, claim in enumerate(claims):
        field = f"spec.resourceClaims[{index}]"
        problems.require(is_dns_label(claim.get("name")), f"{field}.name", "must be a DNS label")
        sources = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key)]
        if len(sources) != 1:
            problems.add(
                field, "Invalid value: exactly one of resourceClaimName and resourceClaimTemplateName is required"
            )
    for container in containers:
        for claim in (container.get("resources") or {}).get("claims") or []:
            known = claim.get("name") in names
            field = f"spec.containers[{container.get('name')}].resources.claims"
            problems.require(known, field, f'"{claim.get("name")}" must be one of the names in spec.resourceClaims')


def _fixed(spec: Json) -> Json:
    """The part of a pod's spec that no update may change."""
    fixed = {key: value for key, value in spec.items() if key not in _MUTABLE_SPEC and value not in (None, [], {}, "")}
    for name in _CONTAINER_LISTS:
        fixed[name] = [{**container, "image": ""} for container in spec.get(name) or []]
    return fixed
