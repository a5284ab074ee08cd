"""What cannot be placed says why; what is wrong is refused where the person looks, with nothing half-made."""

import json

from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, request, until


def test_a_claim_that_nothing_matches_stays_pending_and_our_event_names_the_reason(lab: Lab) -> None:
    lab.claim("x", request(selectors=["device.attributes['gpu.partita.dev'].product == 'NVIDIA X9000'"]))
    lab.pod("p", claim="x")
    until("the pod is unschedulable", lambda: lab.scheduled_reason("p"))
    message = lab.event("p", "GpuPlacement")
    assert "2 nodes" in message
    assert "select" in message


def test_a_profile_that_no_gpu_has_is_named(lab: Lab) -> None:
    lab.claim("x", request(device_class="mig-7g.gpu.partita.dev"))
    lab.pod("p", claim="x")
    until("the pod is unschedulable", lambda: lab.scheduled_reason("p"))
    assert lab.event("p", "GpuPlacement", contains="mig-7g.gpu.partita.dev")


def test_an_unknown_opaque_field_is_an_event_that_names_it(lab: Lab) -> None:
    parameters = {"apiVersion": "gpu.partita.dev/v1alpha1", "kind": "GpuConfig", "timeSlize": "Short"}
    config = [{"opaque": {"driver": "gpu.partita.dev", "parameters": parameters}}]
    lab.claim("x", request(), config=config)
    lab.pod("p", claim="x")
    message = lab.event("p", "FailedPrepareDynamicResources", contains="timeSlize")
    assert "GpuConfig" in message
    lab.delete_pod("p")


def test_malformed_and_huge_bodies_are_refused_and_the_extender_lives(installation: Installation) -> None:
    status, answer = installation.extender.post("/filter", b'{"Pod": 3')
    assert status == 400
    assert answer
    status, _ = installation.extender.post("/filter", b'{"Pod":{},"NodeNames":["' + b"x" * 64_000_000 + b'"]}')
    assert status in (400, 413)
    status, answer = installation.extender.post(
        "/filter", json.dumps({"Pod": {"metadata": {"name": "p"}}, "Nodes": {}}).encode()
    )
    assert status == 400
    assert b"nodeCacheCapable" in answer
    assert installation.extender_ready()
