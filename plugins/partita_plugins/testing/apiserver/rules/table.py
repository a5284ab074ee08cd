"""Which rules hold for which resource, as a table. A resource without a row is stored as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.rules.claims import (
    check_claim,
    check_class,
    check_template,
    default_claim,
    default_template,
    drop_deallocated,
)
from partita_plugins.testing.apiserver.rules.names import Problems
from partita_plugins.testing.apiserver.rules.pods import check_pod, default_pod, new_pod
from partita_plugins.testing.apiserver.rules.slices import check_slice, default_slice
from partita_plugins.testing.apiserver.rules.taint_rules import check_rule, default_rule


def _nothing(_obj: Json) -> None: ...


def _no_defaults(_obj: Json, _now: str) -> None: ...


def _no_check(_obj: Json, _before: Json | None, _problems: Problems) -> None: ...


def _no_status_change(_status: Json, _before: Json) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What happens to objects of one resource on their way in."""

    on_create: Callable[[Json], None] = _nothing
    """Changes a new object before anything else."""

    default: Callable[[Json, str], None] = _no_defaults
    """Fills in what the writer left out; the second argument is the time."""

    check: Callable[[Json, Json | None, Problems], None] = _no_check
    """Gathers what is wrong with a new object, or with one and what it was before."""

    on_status: Callable[[Json, Json], None] = _no_status_change
    """Changes a new status, given the object before."""

    counts_generation: bool = False
    """Whether metadata.generation follows changes beyond metadata and status."""

    graceful: bool = False
    """Whether a deletion waits for the node that runs it."""

    path_names: bool = False
    """Whether names may be anything that fits in a path (RBAC)."""


def _without_status(obj: Json) -> None:
    obj.pop("status", None)


def _new_namespace(obj: Json) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


def _default_replicas(obj: Json, _now: str) -> None:
    obj.setdefault("spec", {}).setdefault("replicas", 1)


def _check_workload(obj: Json, before: Json | None, problems: Problems) -> None:
    spec = obj.get("spec") or {}
    problems.require_value(spec.get("selector"), "spec.selector")
    problems.require_value(spec.get("template"), "spec.template")
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    problems.require(wanted.items() <= labels.items(), "spec.template.metadata.labels", "`selector` does not match")
    if before is not None:
        problems.unchanged(before["spec"].get("selector"), spec.get("selector"), "spec.selector")


_WORKLOAD = Rules(on_create=_without_status, default=_default_replicas, check=_check_workload, counts_generation=True)
_RBAC = Rules(path_names=True)

RULES: Mapping[str, Rules] = MappingProxyType(
    {
        "pods": Rules(on_create=new_pod, default=default_pod, check=check_pod, counts_generation=True, graceful=True),
        "namespaces": Rules(on_create=_new_namespace),
        "resourceslices.resource.k8s.io": Rules(default=default_slice, check=check_slice, counts_generation=True),
        "resourceclaims.resource.k8s.io": Rules(
            on_create=_without_status, default=default_claim, check=check_claim, on_status=drop_deallocated
        ),
        "resourceclaimtemplates.resource.k8s.io": Rules(default=default_template, check=check_template),
        "deviceclasses.resource.k8s.io": Rules(check=check_class, counts_generation=True),
        "devicetaintrules.resource.k8s.io": Rules(
            on_create=_without_status, default=default_rule, check=check_rule, counts_generation=True
        ),
        "deployments.apps": _WORKLOAD,
        "replicasets.apps": _WORKLOAD,
        "daemonsets.apps": Rules(on_create=_without_status, check=_check_workload, counts_generation=True),
        "roles.rbac.authorization.k8s.io": _RBAC,
        "rolebindings.rbac.authorization.k8s.io": _RBAC,
        "clusterroles.rbac.authorization.k8s.io": _RBAC,
        "clusterrolebindings.rbac.authorization.k8s.io": _RBAC,
    }
)

DEFAULT_RULES = Rules()


def rules_for(storage: str) -> Rules:
    return RULES.get(storage, DEFAULT_RULES)
