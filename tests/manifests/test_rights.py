"""What the parts may do: exactly the verbs that their code calls, and what docs/security.md says."""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from partita_driver.api.node_condition import CONDITION
from partita_driver.mps.daemons import CLAIM_LABEL
from partita_driver.mps.manifest import COMMAND, NAME, pod_name
from partita_driver.opening.options import Options
from partita_plugins.wire import DRIVER_NAME
from partita_scheduler.leader.elector import LeaderElector
from tests.manifests.kustomize import MANIFESTS, ROOT, Json, containers, one, render

SYSTEM = "partita-system"
SLICES = "resource.k8s.io/resourceslices"
CLAIMS = "resource.k8s.io/resourceclaims"

# Who, where (cluster or namespace), resource with its object names: verbs.
GRANTED = {
    ("driver", "", SLICES): "get list watch create update delete",
    ("driver", "", CLAIMS): "get list watch",
    ("driver", "", f"{CLAIMS}/status"): "patch",
    ("driver", "", f"{CLAIMS}/driver (gpu.partita.dev)"): "associated-node:patch",
    ("driver", "", "nodes"): "get list watch",
    ("driver", "", "nodes/status"): "patch",
    ("driver", "", "events"): "get create patch",
    ("driver", SYSTEM, "configmaps (partita-nodes)"): "list watch",
    ("driver", SYSTEM, "pods"): "get list create delete",
    ("scheduler", "", "nodes"): "list watch",
    ("scheduler", "", "pods"): "list watch",
    ("scheduler", "", SLICES): "list watch",
    ("scheduler", "", CLAIMS): "list watch",
    ("scheduler", "", "resource.k8s.io/deviceclasses"): "list watch",
    ("scheduler", "", "resource.k8s.io/devicetaintrules"): "list watch",
    ("scheduler", "", "events"): "get create patch",
    ("scheduler", SYSTEM, "coordination.k8s.io/leases"): "create",
    ("scheduler", SYSTEM, "coordination.k8s.io/leases (partita-scheduler)"): "get update",
}
Key = tuple[str, str, str]


@pytest.fixture(scope="module")
def base() -> list[Json]:
    return render(MANIFESTS / "base")


def test_the_roles_grant_exactly_the_table(base: list[Json]) -> None:
    found: dict[Key, set[str]] = {}
    for role in (obj for obj in base if obj["kind"] in ("Role", "ClusterRole")):
        who, where = role["metadata"]["name"].removeprefix("partita-"), role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            for resource in _resources(rule):
                found.setdefault((who, where, resource), set()).update(rule["verbs"])
    assert found == {key: set(verbs.split()) for key, verbs in GRANTED.items()}


def test_nothing_is_granted_by_a_wildcard_or_on_secrets() -> None:
    for _, _, resource in GRANTED:
        assert "*" not in resource
        assert "secrets" not in resource
    assert not any("*" in verbs for verbs in GRANTED.values())


def test_each_role_is_bound_to_its_own_account_alone(base: list[Json]) -> None:
    bindings = [obj for obj in base if obj["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert len(bindings) == 4
    for binding in bindings:
        name = binding["metadata"]["name"]
        assert binding["roleRef"]["name"] == name
        assert binding["roleRef"]["kind"] == binding["kind"].removesuffix("Binding")
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]
        one(base, "ServiceAccount", name, SYSTEM)


def test_the_security_page_lists_the_same_verbs() -> None:
    told: dict[Key, set[str]] = {}
    for line in (ROOT / "docs" / "security.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5 and cells[0].split(",")[0] in ("driver", "extender"):
            who = "driver" if cells[0].startswith("driver") else "scheduler"
            where = SYSTEM if SYSTEM in cells[0] else ""
            group = "" if cells[1] == "core" else f"{cells[1]}/"
            for resource in cells[2].split(", "):
                told.setdefault((who, where, f"{group}{resource}"), set()).update(re.split(r",\s*", cells[3]))
    assert told == {key: set(verbs.split()) for key, verbs in GRANTED.items()}


@pytest.mark.parametrize("what", ["resourceslices", "nodes", "pods"])
def test_the_admission_policies_mean_the_account_that_the_driver_runs_as(base: list[Json], what: str) -> None:
    daemonset = one(base, "DaemonSet", "partita-driver")
    policy = one(base, "ValidatingAdmissionPolicy", f"{what}.{DRIVER_NAME}")
    account = daemonset["spec"]["template"]["spec"]["serviceAccountName"]
    user = f"system:serviceaccount:{daemonset['metadata']['namespace']}:{account}"
    [condition] = policy["spec"]["matchConditions"]
    assert condition["expression"] == f"request.userInfo.username == '{user}'"


def test_the_admission_policy_covers_every_way_to_write_a_slice(base: list[Json]) -> None:
    policy = one(base, "ValidatingAdmissionPolicy", f"resourceslices.{DRIVER_NAME}")
    binding = one(base, "ValidatingAdmissionPolicyBinding", f"resourceslices.{DRIVER_NAME}")
    [rule] = policy["spec"]["matchConstraints"]["resourceRules"]
    assert set(rule["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    assert set(rule["apiVersions"]) == {"v1", "v1beta1", "v1beta2"}
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_the_condition_that_may_be_written_is_the_one_that_is_written(base: list[Json]) -> None:
    policy = one(base, "ValidatingAdmissionPolicy", f"nodes.{DRIVER_NAME}")
    binding = one(base, "ValidatingAdmissionPolicyBinding", f"nodes.{DRIVER_NAME}")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    spared = [entry["expression"] for entry in policy["spec"]["variables"] if entry["name"].startswith("others")]
    assert len(spared) == 2
    assert all(f"c.type != '{CONDITION}'" in expression for expression in spared)


def test_the_pods_that_may_be_made_are_those_of_mps_daemons(base: list[Json]) -> None:
    policy = one(base, "ValidatingAdmissionPolicy", f"pods.{DRIVER_NAME}")
    binding = one(base, "ValidatingAdmissionPolicyBinding", f"pods.{DRIVER_NAME}")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    [rule] = policy["spec"]["matchConstraints"]["resourceRules"]
    assert set(rule["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    held = " ".join(entry["expression"] for entry in policy["spec"]["validations"])
    [container] = containers(one(base, "DaemonSet", "partita-driver"))
    [state_dir] = [word.partition("=")[2] for word in container["args"] if word.startswith("--state-dir=")]
    folder = Options(node_name="", state_dir=Path(state_dir)).mps_dir
    assert f"c.?command.orValue([]) == {COMMAND}" in held
    assert f"== '{NAME}'" in held
    assert f"'{pod_name('')}' + variables.claim" in held
    assert f"startsWith('{folder}/' + variables.claim + '/')" in held
    assert f"'{CLAIM_LABEL}'" in next(
        one["expression"] for one in policy["spec"]["variables"] if one["name"] == "claim"
    )


def test_the_lease_that_may_be_written_is_the_one_that_is_used() -> None:
    [granted] = [resource for _, _, resource in GRANTED if "leases (" in resource]
    used = inspect.signature(LeaderElector).parameters["name"].default
    assert granted.endswith(f"({used})")


def _resources(rule: Json) -> Iterable[str]:
    names = f" ({', '.join(rule['resourceNames'])})" if "resourceNames" in rule else ""
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            yield f"{group}/{resource}{names}" if group else f"{resource}{names}"
