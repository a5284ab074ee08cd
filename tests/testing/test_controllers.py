"""Claims, owners, replicas and evictions, one settled step at a time."""

from __future__ import annotations

from typing import Any

import pytest

from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.controllers import Controllers
from partita_plugins.testing.objects import CLAIM_FINALIZER, POD_CLAIM_NAME
from partita_plugins.testing.scheduling import (
    bind_pod,
    pending_pods,
    report_unschedulable,
    reserve_claim,
    unreserve_claim,
)
from tests.testing import objects
from tests.testing.objects import Json
from tests.waiting import WAIT_SECONDS

TAINT = {"key": "gpu.partita.dev/unhealthy", "effect": "NoExecute"}


@pytest.fixture
def api() -> ApiServer:
    """Not started: the controllers need no HTTP."""
    return ApiServer()


@pytest.fixture
def controllers(api: ApiServer) -> Controllers:
    return Controllers(api)


def deployment(replicas: int, image: str = "one") -> Json:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def allocated(api: ApiServer, controllers: Controllers, **result: Any) -> tuple[Json, Json]:
    """A bound pod with its templated claim, allocated and reserved."""
    api.create(objects.template("t"))
    api.create(objects.pod("p", template="t"))
    controllers.settle()
    pod, (claim,) = api.get("Pod", "p"), api.list("ResourceClaim")
    claim = reserve_claim(api, claim, pod, objects.allocation(**result))
    bind_pod(api, pod, "n1")
    return api.get("Pod", "p"), claim


def test_a_template_makes_a_claim_for_its_pod(api: ApiServer, controllers: Controllers) -> None:
    api.create(objects.template("t"))
    pod = api.create(objects.pod("p", template="t"))
    controllers.settle()
    (claim,) = api.list("ResourceClaim")
    assert claim["metadata"]["name"].startswith("p-gpu-")
    assert claim["metadata"]["annotations"] == {POD_CLAIM_NAME: "gpu"}
    assert claim["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    expected = [{"name": "gpu", "resourceClaimName": claim["metadata"]["name"]}]
    assert api.get("Pod", "p")["status"]["resourceClaimStatuses"] == expected


def test_a_missing_template_is_said(api: ApiServer, controllers: Controllers) -> None:
    api.create(objects.pod("p", template="none"))
    controllers.settle()
    assert objects.reasons(api) == ["FailedResourceClaimCreation"]


def test_a_claim_goes_with_its_pod(api: ApiServer, controllers: Controllers) -> None:
    _, claim = allocated(api, controllers)
    assert claim["metadata"]["finalizers"] == [CLAIM_FINALIZER]
    api.delete("Pod", "p", grace_seconds=0)
    controllers.settle()
    assert len(api.list("ResourceClaim")) == 0


def test_a_users_claim_is_deallocated_and_stays(api: ApiServer, controllers: Controllers) -> None:
    api.create(objects.claim("c"))
    pods = [api.create(objects.pod(name, claims={"gpu": "c"}, node="n1")) for name in "ab"]
    for pod in pods:
        reserve_claim(api, api.get("ResourceClaim", "c"), pod, objects.allocation())
    api.delete("Pod", "a", grace_seconds=0)
    controllers.settle()
    assert [entry["name"] for entry in api.get("ResourceClaim", "c")["status"]["reservedFor"]] == ["b"]
    api.patch("Pod", "b", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
    controllers.settle()
    claim = api.get("ResourceClaim", "c")
    assert (claim["status"], claim["metadata"].get("finalizers", [])) == ({}, [])


def test_a_pod_on_a_tainted_device_is_evicted(api: ApiServer, controllers: Controllers) -> None:
    allocated(api, controllers)
    api.create(objects.resource_slice("s", devices=[{"name": "gpu-0", "taints": [TAINT]}]))
    controllers.settle()
    assert api.get("Pod", "p")["metadata"]["deletionTimestamp"]
    (event,) = api.list("Event", field_selector="reason=DeviceTaintManagerEviction")
    assert event["message"] == "Marking for deletion"


def test_a_tolerated_taint_evicts_nobody(api: ApiServer, controllers: Controllers) -> None:
    allocated(api, controllers, tolerations=[{"key": TAINT["key"], "operator": "Exists"}])
    api.create(objects.resource_slice("s", devices=[{"name": "gpu-0", "taints": [TAINT]}]))
    controllers.settle()
    assert "deletionTimestamp" not in api.get("Pod", "p")["metadata"]


def test_a_deployment_keeps_its_number_of_pods(api: ApiServer, controllers: Controllers) -> None:
    api.create(deployment(2))
    controllers.settle()
    first = [pod["metadata"]["name"] for pod in api.list("Pod")]
    api.delete("Pod", first[0])
    controllers.settle()
    assert len(api.list("Pod", label_selector="app=web")) == 2
    api.apply(deployment(1, image="two"))
    controllers.settle()
    assert [pod["spec"]["containers"][0]["image"] for pod in api.list("Pod")] == ["two"]
    api.delete("Deployment", "web")
    controllers.settle()
    assert (len(api.list("Pod")), len(api.list("ReplicaSet"))) == (0, 0)


def test_a_daemonset_has_a_pod_on_every_node_it_selects(api: ApiServer, controllers: Controllers) -> None:
    for name, gpu in (("n1", "yes"), ("n2", "no")):
        api.create(objects.node(name, gpu=gpu))
    body = {**deployment(1), "kind": "DaemonSet"}
    body["spec"]["template"]["spec"]["nodeSelector"] = {"gpu": "yes"}
    api.create(body)
    controllers.settle()
    assert [pod["spec"]["nodeName"] for pod in api.list("Pod")] == ["n1"]


def test_a_namespace_takes_its_content_with_it(api: ApiServer, controllers: Controllers) -> None:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}})
    api.create(objects.pod("p") | {"metadata": {"name": "p", "namespace": "gone"}})
    api.delete("Namespace", "gone")
    controllers.settle()
    assert "gone" not in [found["metadata"]["name"] for found in api.list("Namespace")]
    assert len(api.list("Pod")) == 0


def test_a_scheduler_says_once_why_there_is_no_node(api: ApiServer) -> None:
    api.create(objects.pod("p"))
    for _ in range(2):
        report_unschedulable(api, api.get("Pod", "p"), "0/3 nodes are available")
    (event,) = api.list("Event")
    assert (event["reason"], event["count"]) == ("FailedScheduling", 1)
    assert [pod["metadata"]["name"] for pod in pending_pods(api)] == ["p"]


def test_a_failed_bind_gives_the_devices_back(api: ApiServer) -> None:
    api.create(objects.claim("c"))
    pod = api.create(objects.pod("p", claims={"gpu": "c"}))
    claim = reserve_claim(api, api.get("ResourceClaim", "c"), pod, objects.allocation())
    assert "allocation" not in unreserve_claim(api, claim, pod)["status"]


def test_controllers_run_by_themselves(api: ApiServer) -> None:
    version = api.store.revision
    with Controllers(api):
        api.create(deployment(1))
        while not len(api.list("Pod")):
            assert api.store.wait(None, version, WAIT_SECONDS)
            version = api.store.revision


def test_pods_that_are_refused_are_said_at_their_owner(api: ApiServer, controllers: Controllers) -> None:
    body = deployment(1)
    body["spec"]["template"]["spec"]["containers"] = [{"name": "NOT A NAME"}]
    api.create(body)
    controllers.settle()
    (event,) = api.list("Event")
    assert (event["reason"], event["involvedObject"]["kind"]) == ("FailedCreate", "ReplicaSet")
