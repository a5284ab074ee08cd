"""The hardware's rules against a model: whatever is tried, a set of instances never overlaps, and a refusal changes
nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated import clients, power, rules
from partita_plugins.backends.simulated.records import GpuRecord, InstanceRecord
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import MigSupport
from partita_plugins.model.mig import PLAIN_PROFILE_ENUMS, Placement
from partita_plugins.testing.contracts.answers import refused

BOARDS = {
    name: mig
    for name in ("hgx-h100", "a30-x4", "rtx-pro-6000-x8")
    if (mig := catalog.machine(name).gpus[0].mig) is not None
}
GPU_UUID = catalog.machine("hgx-h100").gpus[0].uuid
ON = GpuRecord(mig_enabled=True, mig_pending=True)


@st.composite
def histories(draw: st.DrawFn) -> tuple[MigSupport, list[tuple[int, Placement] | int]]:
    """Creations at legal placements, and destructions by id, in any order."""
    mig = BOARDS[draw(st.sampled_from(sorted(BOARDS)))]
    creations = [(profile.profile_id, placement) for profile in mig.profiles for placement in profile.placements]
    return mig, draw(st.lists(st.sampled_from(creations) | st.integers(0, 14), max_size=30))


@given(histories())
def test_instances_never_overlap_and_refusals_name_their_reason(
    history: tuple[MigSupport, list[tuple[int, Placement] | int]],
) -> None:
    mig, actions = history
    record = ON
    for action in actions:
        record = _tried(record, mig, action)
        _check(record, mig)


def _tried(record: GpuRecord, mig: MigSupport, action: tuple[int, Placement] | int) -> GpuRecord:
    """The record after an action, or unchanged after the one refusal that fits it."""
    if isinstance(action, int):
        if action not in {one.gpu_instance_id for one in record.instances}:
            with refused(NvmlCode.NOT_FOUND):
                rules.remove_gpu_instance(record, mig, action)
            return record
        return rules.remove_gpu_instance(record, mig, action)
    try:
        return rules.add_gpu_instance(record, mig, *action)
    except BackendError:
        with refused(NvmlCode.INSUFFICIENT_RESOURCES):
            rules.add_gpu_instance(record, mig, *action)
        return record


def _check(record: GpuRecord, mig: MigSupport) -> None:
    placed = [one.placement for one in record.instances]
    assert not any(a.overlaps(b) for i, a in enumerate(placed) for b in placed[i + 1 :])
    assert len({one.gpu_instance_id for one in record.instances}) == len(record.instances)
    for profile in mig.profiles:
        held = [one for one in record.instances if one.profile_id == profile.profile_id]
        assert len(held) <= profile.max_instances


@given(histories())
def test_a_plain_placement_that_overlaps_nothing_is_always_given(
    history: tuple[MigSupport, list[tuple[int, Placement] | int]],
) -> None:
    """Without extra engines geometry is all there is: this is what the published counters promise."""
    mig, actions = history
    plain = {profile.profile_id for profile in mig.profiles if profile.enum in PLAIN_PROFILE_ENUMS}
    record = ON
    for action in actions:
        if isinstance(action, int) or action[0] not in plain:
            continue
        if not any(one.placement.overlaps(action[1]) for one in record.instances):
            record = rules.add_gpu_instance(record, mig, *action)


def test_ids_do_not_follow_from_placements() -> None:
    """Seven 1g got 9, 7, 8, 11, 12, 13, 14 on a real H100, in the order in which they were made."""
    mig = BOARDS["hgx-h100"]
    upwards, downwards = ON, ON
    for start in range(7):
        upwards = rules.add_gpu_instance(upwards, mig, 19, Placement(start, 1))
        downwards = rules.add_gpu_instance(downwards, mig, 19, Placement(6 - start, 1))
    ids = [one.gpu_instance_id for one in upwards.instances]
    assert ids == [one.gpu_instance_id for one in downwards.instances] == [9, 7, 8, 11, 12, 13, 14]


def test_the_profile_that_takes_all_media_engines_leaves_none() -> None:
    """RTX PRO 6000: after +me.all (65) only -me (67) can be made, and +me.all itself needs all of them."""
    mig = BOARDS["rtx-pro-6000-x8"]
    hoarding = rules.add_gpu_instance(ON, mig, 65, Placement(0, 3))
    with pytest.raises(BackendError, match="INSUFFICIENT_RESOURCES"):
        rules.add_gpu_instance(hoarding, mig, 14, Placement(3, 3))
    assert len(rules.add_gpu_instance(hoarding, mig, 67, Placement(3, 3)).instances) == 2
    plain = rules.add_gpu_instance(ON, mig, 14, Placement(3, 3))
    with pytest.raises(BackendError, match="INSUFFICIENT_RESOURCES"):
        rules.add_gpu_instance(plain, mig, 65, Placement(0, 3))


def test_a_recreated_partition_has_another_uuid() -> None:
    mig = BOARDS["hgx-h100"]
    record = rules.add_gpu_instance(ON, mig, 9, Placement(4, 4))
    uuids = []
    for _ in range(3):
        record = rules.add_compute_instance(record, mig, GPU_UUID, 1)
        uuids.append(record.instances[0].compute[0].mig_uuid)
        record = rules.remove_compute_instance(record, mig, 1, 0)
    assert len(set(uuids)) == 3


def test_a_process_on_an_instance_keeps_it() -> None:
    mig = BOARDS["hgx-h100"]
    record = rules.add_compute_instance(rules.add_gpu_instance(ON, mig, 9, Placement(4, 4)), mig, GPU_UUID, 1)
    busy = clients.start(record, "train", 1)
    with pytest.raises(BackendError, match="IN_USE"):
        rules.remove_compute_instance(busy, mig, 1, 0)
    with pytest.raises(BackendError, match="IN_USE"):
        power.reset(busy)
    assert clients.stop(busy, "train") == record


@pytest.mark.parametrize(("needs_reset", "kept"), [(True, True), (False, False)])
def test_a_reboot_loses_instances_and_only_ampere_keeps_its_mode(needs_reset: bool, kept: bool) -> None:
    mig = MigSupport(profiles=(), enabled=True, pending=True, mode_needs_reset=needs_reset)
    instance = InstanceRecord(gpu_instance_id=1, profile_id=9, start=4, size=4)
    after = power.reboot(GpuRecord(mig_enabled=True, mig_pending=True, instances=(instance,), clients=("a",)), mig)
    assert (after.mig_enabled, after.mig_pending, after.instances, after.clients) == (kept, kept, (), ())
