"""A claim for a whole GPU, seen from inside the container."""

import pytest

from tests.e2e.lab import BUSYBOX, SLEEP, Lab, request, until


def test_a_container_sees_exactly_the_one_gpu_of_its_claim(lab: Lab) -> None:
    lab.claim("one", request())
    lab.pod("p", claim="one")
    lab.running("p")
    inside = lab.inside("p")
    [result] = lab.allocated("one")
    assert len(inside.gpus) == 1
    assert not inside.caps
    [device] = [d for s in lab.slices(lab.node_of("p")) for d in s.spec.devices if d.name == result.device]
    assert inside.values("UUID") == [device.attributes["uuid"].string]


def test_two_pods_get_two_different_gpus(lab: Lab) -> None:
    for name in ("a", "b"):
        lab.claim(name, request())
        lab.pod(name, claim=name, node="node-a")
    lab.running("a", "b")
    one, other = lab.inside("a"), lab.inside("b")
    assert set(one.gpus.values()).isdisjoint(other.gpus.values())
    assert one.values("UUID") != other.values("UUID")


def test_plain_nvidia_com_gpu_becomes_a_claim_of_the_extended_resource_class(lab: Lab) -> None:
    lab.create_pod(
        "plain",
        {
            "terminationGracePeriodSeconds": 2,
            "containers": [
                {
                    "name": "main",
                    "image": BUSYBOX,
                    "imagePullPolicy": "Never",
                    "command": SLEEP,
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                }
            ],
        },
    )
    lab.running("plain")
    assert len(lab.inside("plain").gpus) == 1
    [claim] = lab.claims()
    assert claim.metadata.annotations["resource.kubernetes.io/extended-resource-claim"] == "true"


@pytest.mark.computes
def test_status_devices_names_the_uuid_and_the_validation(lab: Lab) -> None:
    lab.claim("one", request())
    lab.pod("p", claim="one")
    lab.running("p")
    [status] = until("status.devices is written", lambda: lab.read_claim("one").status.devices)
    assert status.data["uuid"] == lab.inside("p").values("UUID")[0]
    assert status.data["validation"]["depth"] in ("quick", "full")
