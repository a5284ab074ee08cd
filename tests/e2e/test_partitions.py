"""MIG partitions made on demand."""

from partita_plugins.wire.device_names import parse_name
from tests.e2e.lab import Lab, request, until


def test_1g_and_3g_on_one_gpu_are_disjoint_and_block_the_whole_gpu(lab: Lab) -> None:
    lab.claim("small", request(device_class="mig-1g.gpu.partita.dev"))
    lab.pod("small", claim="small", node="node-a")
    lab.running("small")
    [small] = lab.allocated("small")
    slot = _slot(lab, small.device)
    on_same_gpu = f"device.attributes['gpu.partita.dev'].slot == {slot}"
    lab.claim("large", request(device_class="mig-3g.gpu.partita.dev", selectors=[on_same_gpu]))
    lab.pod("large", claim="large", node="node-a")
    lab.running("large")
    [large] = lab.allocated("large")
    taken = [parse_name(r.device) for r in (small, large)]
    assert taken[0].pci_label == taken[1].pci_label
    units = [set(range(n.start or 0, (n.start or 0) + {"1g": 1, "3g": 4}[n.shape])) for n in taken]
    assert not units[0] & units[1]
    one, other = lab.inside("small"), lab.inside("large")
    assert set(one.gpus) == set(other.gpus)
    assert len(one.caps) == len(other.caps) == 2
    assert not set(one.caps.values()) & set(other.caps.values())
    assert one.values("PROFILE")[0].startswith("1g.")
    assert other.values("PROFILE")[0].startswith("3g.")

    lab.claim("whole", request(selectors=[on_same_gpu]))
    lab.pod("whole", claim="whole", node="node-a")
    until("the whole GPU is refused", lambda: lab.scheduled_reason("whole"))
    assert not lab.allocated("whole")


def test_deleting_a_pod_frees_its_partition_for_another_profile(lab: Lab) -> None:
    lab.claim("first", request(device_class="mig-3g.gpu.partita.dev"))
    lab.pod("first", claim="first", node="node-a")
    lab.running("first")
    [held] = lab.allocated("first")
    on_same_gpu = f"device.attributes['gpu.partita.dev'].slot == {_slot(lab, held.device)}"
    lab.delete_pod("first")
    lab.delete_claim("first")
    lab.claim(
        "second",
        request(device_class="mig-4g.gpu.partita.dev", selectors=[on_same_gpu]),
        request("rest", "mig-3g.gpu.partita.dev", selectors=[on_same_gpu]),
    )
    lab.pod("second", claim="second", node="node-a")
    lab.running("second")
    inside = lab.inside("second")
    assert sorted(v[:2] for v in inside.values("PROFILE")) == ["3g", "4g"]
    assert len(inside.caps) == 4


def _slot(lab: Lab, device: str) -> int:
    [found] = [d for s in lab.slices("node-a") for d in s.spec.devices if d.name == device]
    slot = found.attributes["slot"].int_
    assert slot is not None
    return slot
