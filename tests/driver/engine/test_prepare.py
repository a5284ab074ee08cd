"""Prepare and Unprepare of every kind of device, on simulated hardware."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import GpuLost
from partita_plugins.errors import InvalidInput, Permanent, Retryable
from partita_plugins.model.mig import Placement
from partita_plugins.wire.resource_claim import ResourceClaim, ResourceClaimStatus
from tests.driver.engine.nodes import Node, claim, result, time_slice_config


def test_a_whole_gpu_is_handed_out_with_its_nodes_and_environment(node: Node) -> None:
    wanted = claim(result(node.whole(2), request="main/big"))
    (device,) = node.engine.prepare(wanted)
    assert device.request_names == ("main",)
    assert device.uuid == node.gpu_uuid(2)
    assert device.cdi_ids == (f"gpu.partita.dev/claim={wanted.metadata.uid}-{node.whole(2)}",)
    spec = node.cdi(wanted.metadata.uid)
    assert spec["containerEdits"]["env"] == ["NVIDIA_VISIBLE_DEVICES=void"]
    edits = spec["devices"][0]["containerEdits"]
    assert f"PARTITA_MAIN_0_UUID={node.gpu_uuid(2)}" in edits["env"]
    assert [n["path"] for n in edits["deviceNodes"] if n["path"] == "/dev/nvidia2"] == ["/dev/nvidia2"]
    assert all(n["type"] == "c" and n["permissions"] == "rw" for n in edits["deviceNodes"])
    assert device.validation is not None
    assert device.validation.depth == "full"


def test_a_partition_is_made_handed_out_and_destroyed(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    (device,) = node.engine.prepare(wanted)
    assert node.placements() == [(0, Placement(4, 4))]
    assert device.uuid.startswith("MIG-")
    env = node.cdi(wanted.metadata.uid)["devices"][0]["containerEdits"]["env"]
    assert "PARTITA_GPU_0_PLACEMENT=4:4" in env
    node.engine.unprepare(wanted.metadata.uid)
    assert node.placements() == []
    assert node.cdi_files() == []
    assert node.journal.state.claims == {}
    assert not node.mig_enabled(0)


def test_mig_mode_stays_until_the_last_partition_is_gone(node: Node) -> None:
    one, other = claim(node.mig(0, "3g", 4)), claim(node.mig(0, "1g", 0))
    for wanted in (one, other):
        node.engine.prepare(wanted)
    node.engine.unprepare(one.metadata.uid)
    assert node.mig_enabled(0)
    node.engine.unprepare(other.metadata.uid)
    assert not node.mig_enabled(0)


def test_a_gpu_left_in_mig_mode_is_taken_out_of_it_for_a_whole_claim(node: Node) -> None:
    node.backend.set_mig_mode(node.gpu_uuid(1), enabled=True)
    node.start()
    node.engine.prepare(claim(node.whole(1)))
    assert not node.mig_enabled(1)


def test_shares_count_their_time_slice_and_only_the_first_is_validated_in_full(node: Node) -> None:
    first = claim(
        result(node.shared(0), consumedCapacity={"memory": "10Gi"}, shareID="a1"), config=time_slice_config("Short")
    )
    second = claim(result(node.shared(0), consumedCapacity={"memory": "8Gi"}, shareID="b2"))
    (one,), (two,) = node.engine.prepare(first), node.engine.prepare(second)
    assert node.time_slice(0) == "Short"
    assert one.share_id == "a1"
    assert one.cdi_ids[0].endswith(f"{node.shared(0)}-a1")
    assert one.validation is not None
    assert one.validation.depth == "full"
    assert two.validation is not None
    assert two.validation.depth == "quick"
    assert "PARTITA_GPU_0_MEMORY_MIB=8192" in node.cdi(second.metadata.uid)["devices"][0]["containerEdits"]["env"]
    node.engine.unprepare(first.metadata.uid)
    assert node.time_slice(0) == "Default"
    node.engine.unprepare(second.metadata.uid)


def test_two_clients_of_one_gpu_cannot_have_different_time_slices(node: Node) -> None:
    node.engine.prepare(claim(result(node.shared(0), shareID="a"), config=time_slice_config("Short")))
    with pytest.raises(Permanent, match="time slice Short"):
        node.engine.prepare(claim(result(node.shared(0), shareID="b"), config=time_slice_config("Long")))
    assert node.time_slice(0) == "Short"


@pytest.mark.parametrize("asks", ["a", "b"])
def test_of_two_shares_of_a_claim_the_one_that_asks_says_how_long_turns_are(node: Node, asks: str) -> None:
    shares = [result(node.shared(0), request, shareID=request) for request in ("a", "b")]
    wanted = claim(*shares, config=[time_slice_config("Short")[0] | {"requests": [asks]}])
    node.engine.prepare(wanted)
    assert node.time_slice(0) == "Short"
    node.engine.unprepare(wanted.metadata.uid)
    assert node.time_slice(0) == "Default"


def test_two_shares_of_a_claim_cannot_have_different_time_slices(node: Node) -> None:
    shares = [result(node.shared(0), request, shareID=request) for request in ("a", "b")]
    config = [time_slice_config(one)[0] | {"requests": [to]} for one, to in (("Short", "a"), ("Long", "b"))]
    with pytest.raises(Permanent, match="time slice"):
        node.engine.prepare(claim(*shares, config=config))
    assert node.time_slice(0) == "Default"


def test_a_group_is_one_device_with_every_member(node: Node) -> None:
    wanted = claim("group-2-4-5")
    (device,) = node.engine.prepare(wanted)
    assert device.uuid == f"{node.gpu_uuid(4)},{node.gpu_uuid(5)}"
    paths = [n["path"] for n in node.cdi(wanted.metadata.uid)["devices"][0]["containerEdits"]["deviceNodes"]]
    assert {"/dev/nvidia4", "/dev/nvidia5"} <= set(paths)
    assert len(paths) == len(set(paths))
    with pytest.raises(Retryable, match="overlaps group-2-4-5"):
        node.engine.prepare(claim(node.whole(5)))


def test_environment_of_one_request_with_several_devices_does_not_collide(node: Node) -> None:
    wanted = claim(node.whole(0), node.whole(1), result(node.whole(2), request="other"))
    node.engine.prepare(wanted)
    devices = node.cdi(wanted.metadata.uid)["devices"]
    keys = [line.partition("=")[0] for device in devices for line in device["containerEdits"]["env"]]
    assert len(keys) == len(set(keys))
    assert {"PARTITA_GPU_1_UUID", "PARTITA_OTHER_0_UUID"} <= set(keys)


def test_admin_access_gets_the_device_without_steps_or_validation(node: Node) -> None:
    owner, admin = claim(node.whole(0)), claim(result(node.whole(0), adminAccess=True))
    node.engine.prepare(owner)
    (device,) = node.engine.prepare(admin)
    assert device.validation is None
    node.engine.unprepare(admin.metadata.uid)
    assert list(node.engine.prepared()) == [owner.metadata.uid]


def _unallocated() -> ResourceClaim:
    wanted = claim("gpu-0000-07-00-0")
    return ResourceClaim(metadata=wanted.metadata, status=ResourceClaimStatus())


BAD: dict[str, Callable[[Node], ResourceClaim]] = {
    "is not allocated": lambda _node: _unallocated(),
    "has no device of": lambda node: claim(result(node.whole(0)) | {"driver": "other.example"}),
    "not in gpu.partita.dev/node-a": lambda node: claim(result(node.whole(0)) | {"pool": "gpu.partita.dev/node-b"}),
    "no device gpu-0000-ff-00-0": lambda _node: claim("gpu-0000-ff-00-0"),
    "is not a device of Partita": lambda _node: claim("tpu-7"),
    "has no partition": lambda node: claim(f"{node.whole(0)}-mig-3g-99-4"),
    "unknown field": lambda node: claim(
        node.whole(0),
        config=[
            {
                "source": "FromClaim",
                "opaque": {
                    "driver": "gpu.partita.dev",
                    "parameters": {"apiVersion": "gpu.partita.dev/v1alpha1", "kind": "GpuConfig", "colour": 1},
                },
            }
        ],
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_a_claim_that_cannot_be_taken_is_refused_and_nothing_is_made(node: Node, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        node.engine.prepare(BAD[message](node))
    assert node.journal.state.claims == {}
    assert node.cdi_files() == []


def test_devices_of_other_drivers_in_the_same_claim_are_ignored(node: Node) -> None:
    nic = result("nic-0") | {"driver": "nic.example", "pool": "x"}
    (device,) = node.engine.prepare(claim(nic, node.whole(0)))
    assert device.device == node.whole(0)


@pytest.mark.parametrize(
    ("held", "wanted"), [("whole", "mig"), ("mig", "whole"), ("shared", "whole"), ("mig", "shared")]
)
def test_overlapping_hardware_is_refused_to_a_second_claim(node: Node, held: str, wanted: str) -> None:
    names = {"whole": node.whole(0), "mig": node.mig(0, "2g", 2), "shared": node.shared(0)}
    first = claim(names[held])
    node.engine.prepare(first)
    before = node.placements()
    with pytest.raises(Retryable, match="overlaps"):
        node.engine.prepare(claim(names[wanted]))
    assert node.placements() == before
    node.engine.unprepare(first.metadata.uid)
    node.engine.prepare(claim(names[wanted]))


def test_a_claim_allocated_anew_under_its_uid_gives_back_the_old_device(node: Node) -> None:
    wanted = claim(node.mig(0, "3g", 4))
    node.engine.prepare(wanted)
    node.engine.prepare(claim(node.whole(1), uid=wanted.metadata.uid))
    assert node.placements() == []


def test_an_unknown_claim_is_unprepared_with_success(node: Node) -> None:
    node.engine.unprepare("12345678-0000-4000-8000-000000000000")


def test_a_partition_in_use_is_not_forgotten(node: Node) -> None:
    held = claim(node.mig(0, "3g", 4))
    node.engine.prepare(held)
    instance = node.instances()[0][0]
    node.backend.start_client(node.gpu_uuid(0), "dcgm", instance.gpu_instance_id)
    with pytest.raises(Retryable, match="IN_USE"):
        node.engine.unprepare(held.metadata.uid)
    assert node.engine.claims()[held.metadata.uid].state is ClaimState.UNDOING
    node.backend.stop_client(node.gpu_uuid(0), "dcgm")
    node.engine.reconcile()
    assert node.placements() == []
    assert dict(node.engine.claims()) == {}


def test_a_claim_is_given_back_though_an_agent_that_keeps_its_gpu_open_keeps_mig_on(node: Node) -> None:
    """Its pod would not end as long as the agent runs. Who needs the GPU without MIG waits for the agent."""
    held, whole = claim(node.mig(0, "3g", 4)), claim(node.whole(0))
    node.engine.prepare(held)
    node.backend.start_client(node.gpu_uuid(0), "dcgm")
    node.engine.unprepare(held.metadata.uid)
    assert node.placements() == []
    assert dict(node.engine.claims()) == {}
    with pytest.raises(Retryable, match="IN_USE"):
        node.engine.prepare(whole)
    node.engine.prepare(claim(node.mig(0, "1g", 0), uid=held.metadata.uid))
    node.engine.unprepare(held.metadata.uid)
    node.backend.stop_client(node.gpu_uuid(0), "dcgm")
    node.engine.prepare(whole)


def test_claims_gone_from_the_api_are_undone(node: Node) -> None:
    kept, gone = claim(node.mig(0, "3g", 4), name="kept"), claim(node.mig(0, "3g", 0), name="gone")
    for wanted in (kept, gone):
        node.engine.prepare(wanted)
    undone = node.engine.reconcile_claims(lambda _namespace, name, _uid: name == "kept")
    assert undone == (gone.metadata.uid,)
    assert list(node.engine.prepared()) == [kept.metadata.uid]


def test_a_prepared_claim_gone_from_the_api_is_kept_while_its_container_may_still_end(node: Node) -> None:
    gone = claim(node.whole(0))
    node.engine.prepare(gone)
    assert node.engine.reconcile_claims(lambda *_: False, gone_seconds=60.0) == ()
    with pytest.raises(Retryable, match="overlaps"):
        node.engine.prepare(claim(node.mig(0, "3g", 4)))
    assert node.engine.reconcile_claims(lambda *_: True, gone_seconds=0.0) == ()
    assert node.engine.reconcile_claims(lambda *_: False, gone_seconds=0.0) == (gone.metadata.uid,)


def test_one_prepare_writes_the_journal_twice(node: Node) -> None:
    before = node.journal.sequence
    node.engine.prepare(claim(node.mig(0, "3g", 4)))
    assert node.journal.sequence - before == 2


def test_processes_are_listed_of_gpus_that_no_claim_is_on(node: Node) -> None:
    busy, idle, hung = (node.gpu_uuid(slot) for slot in (0, 1, 2))
    wanted = claim(node.whole(0))
    node.engine.prepare(wanted)
    for uuid in (busy, idle, hung):
        node.backend.start_client(uuid, "train.py")
    node.backend.faults.plant(GpuLost(gpu_uuid=hung))
    assert set(node.engine.idle_processes()) == {idle}
    node.backend.stop_client(busy, "train.py")
    node.engine.unprepare(wanted.metadata.uid)
    node.backend.start_client(busy, "other.py")
    assert set(node.engine.idle_processes()) == {busy, idle}
    node.engine.prepare(claim(result(node.whole(0), adminAccess=True)))
    assert set(node.engine.idle_processes()) == {idle}, "who looks with our leave may compute, too"
