"""Shared GPUs and shared claims."""

from tests.e2e.lab import Lab, request, until

SHARED = "shared.gpu.partita.dev"


def test_two_pods_share_a_gpu_and_a_third_that_does_not_fit_is_told_why(lab: Lab) -> None:
    on_slot_0 = "device.attributes['gpu.partita.dev'].slot == 0"
    for name in ("a", "b", "c"):
        lab.claim(name, request(device_class=SHARED, memory="30Gi", selectors=[on_slot_0]))
    for name in ("a", "b"):
        lab.pod(name, claim=name, node="node-a")
    lab.running("a", "b")
    one, other = lab.inside("a"), lab.inside("b")
    assert one.gpus == other.gpus
    assert one.values("MEMORY_MIB") == other.values("MEMORY_MIB") == ["30720"]
    [a], [b] = lab.allocated("a"), lab.allocated("b")
    assert a.device == b.device
    assert a.share_id != b.share_id
    assert a.consumed_capacity["memory"] == "30Gi"

    lab.pod("c", claim="c", node="node-a")
    until("the third share is refused", lambda: lab.scheduled_reason("c"))
    message = lab.event("c", "GpuPlacement", contains="memory")
    assert "30Gi" in message
    assert not lab.allocated("c")


def test_two_containers_of_a_pod_use_one_claim(lab: Lab) -> None:
    lab.claim("one", request())
    lab.pod("p", claim="one", containers=("left", "right"))
    lab.running("p")
    assert lab.inside("p", "left").gpus == lab.inside("p", "right").gpus
    assert len(lab.inside("p", "left").gpus) == 1


def test_two_pods_use_one_claim(lab: Lab) -> None:
    lab.claim("one", request(device_class="mig-2g.gpu.partita.dev"))
    for name in ("a", "b"):
        lab.pod(name, claim="one")
    lab.running("a", "b")
    assert lab.node_of("a") == lab.node_of("b")
    assert lab.inside("a").caps == lab.inside("b").caps
    assert lab.inside("a").values("UUID") == lab.inside("b").values("UUID")
    lab.delete_pod("a")
    assert lab.inside("b").caps
    assert lab.allocated("one")
