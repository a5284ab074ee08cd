"""What each strategy does to the hardware, and what it tells the program."""

from __future__ import annotations

from dataclasses import replace

import pytest

from partita_plugins import registry
from partita_plugins.backends import catalog
from partita_plugins.contracts import MPS_KINDS, STRATEGY_OF_KIND, ShareRequest, SharingStrategy, strategy_name
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import DeviceKind, OfferedDevice
from partita_plugins.model.steps import (
    CreateComputeInstance,
    CreateGpuInstance,
    EnableMig,
    MakeMpsFolders,
    RunMpsDaemon,
    SetExclusiveProcess,
    SetTimeSlice,
)

HOPPER, AMPERE = catalog.machine("hgx-h100"), catalog.machine("dgx-a100-40")


def strategy(kind: DeviceKind, *, mps: bool = False) -> SharingStrategy:
    loaded: SharingStrategy = registry.load("partita.sharing", strategy_name(kind, mps=mps))()
    return loaded


def slots(hardware: NodeHardware) -> dict[int, Gpu]:
    return dict(enumerate(hardware.gpus))


def partition(hardware: NodeHardware, name: str, start: int) -> OfferedDevice:
    mig = hardware.gpus[1].mig
    assert mig is not None
    profile = next(one for one in mig.profiles if one.name == name)
    return OfferedDevice(kind=DeviceKind.MIG, slots=(1,), profile=profile, placement=Placement(start, profile.size))


def test_every_kind_of_device_has_an_installed_strategy_of_that_name() -> None:
    assert {kind: strategy(kind).name for kind in DeviceKind} == STRATEGY_OF_KIND


@pytest.mark.parametrize(("kind", "members"), [(DeviceKind.GPU, (3,)), (DeviceKind.GROUP, (0, 1, 4, 5))])
def test_exclusive_devices_need_no_step(kind: DeviceKind, members: tuple[int, ...]) -> None:
    device = OfferedDevice(kind=kind, slots=members)
    exclusive = strategy(kind)
    assert exclusive.steps(device, slots(HOPPER), ShareRequest()) == ()
    assert exclusive.environment(device, slots(HOPPER), ShareRequest()) == {"MEMORY_MIB": str(81559 * len(members))}


def test_a_partition_is_mode_then_gpu_instance_then_compute_instance() -> None:
    device = partition(HOPPER, "3g.40gb", 4)
    uuid = HOPPER.gpus[1].uuid
    assert strategy(DeviceKind.MIG).steps(device, slots(HOPPER), ShareRequest()) == (
        EnableMig(uuid),
        CreateGpuInstance(uuid, 9, 4, 4),
        CreateComputeInstance(uuid, 9, 4, 4),
    )
    told = strategy(DeviceKind.MIG).environment(device, slots(HOPPER), ShareRequest())
    assert told == {"PROFILE": "3g.40gb", "MEMORY_MIB": "40448"}


@pytest.mark.parametrize(("hardware", "name", "stays"), [(HOPPER, "1g.10gb", False), (AMPERE, "1g.5gb", True)])
def test_a_mode_that_is_on_already_is_undone_by_the_last_claim_but_never_where_it_is_pinned(
    hardware: NodeHardware, name: str, stays: bool
) -> None:
    """Only the step EnableMig switches the mode off again: on Ampere that takes a reset, so a pinned GPU stays on."""
    gpus = slots(hardware)
    mig = gpus[1].mig
    assert mig is not None
    gpus[1] = replace(gpus[1], mig=replace(mig, enabled=True, pending=True))
    steps = strategy(DeviceKind.MIG).steps(partition(hardware, name, 0), gpus, ShareRequest())
    assert (EnableMig(gpus[1].uuid) not in steps) == stays
    assert len(steps) == (2 if stays else 3)


def test_a_shared_gpu_gets_its_time_slice_and_says_what_was_granted() -> None:
    device = OfferedDevice(kind=DeviceKind.SHARED, slots=(2,), max_clients=16)
    share = ShareRequest(memory_mib=10240, time_slice="Short")
    timeslice = strategy(DeviceKind.SHARED)
    assert timeslice.steps(device, slots(HOPPER), share) == (SetTimeSlice(HOPPER.gpus[2].uuid, "Short"),)
    assert timeslice.environment(device, slots(HOPPER), share) == {"TIME_SLICE": "Short", "MEMORY_MIB": "10240"}
    unnamed = timeslice.environment(device, slots(HOPPER), ShareRequest())
    assert unnamed == {"TIME_SLICE": "Default", "MEMORY_MIB": "81559"}


def test_every_kind_of_device_that_may_be_under_mps_has_the_strategy_for_it() -> None:
    assert {strategy(kind, mps=True).name for kind in MPS_KINDS} == {"mps"}


def test_a_share_under_mps_keeps_turns_and_limits_memory_to_what_was_granted() -> None:
    device = OfferedDevice(kind=DeviceKind.SHARED, slots=(2,), max_clients=16)
    share = ShareRequest(memory_mib=10240, time_slice="Short", mps=True, active_thread_percentage=25)
    mps, uuid = strategy(DeviceKind.SHARED, mps=True), HOPPER.gpus[2].uuid
    assert mps.steps(device, slots(HOPPER), share) == (
        SetTimeSlice(uuid, "Short"),
        MakeMpsFolders(uuid),
        RunMpsDaemon(uuid, memory_mib=10240, active_thread_percentage=25),
    )
    told = mps.environment(device, slots(HOPPER), share)
    assert told == {"SHARING": "MPS", "MEMORY_MIB": "10240", "ACTIVE_THREAD_PERCENTAGE": "25"}


def test_a_whole_gpu_under_mps_is_the_daemons_alone() -> None:
    device = OfferedDevice(kind=DeviceKind.GPU, slots=(2,))
    mps, uuid = strategy(DeviceKind.GPU, mps=True), HOPPER.gpus[2].uuid
    steps = mps.steps(device, slots(HOPPER), ShareRequest(mps=True))
    assert steps == (SetExclusiveProcess(uuid), MakeMpsFolders(uuid), RunMpsDaemon(uuid))
    told = mps.environment(device, slots(HOPPER), ShareRequest(mps=True))
    assert told == {"SHARING": "MPS", "MEMORY_MIB": "81559", "ACTIVE_THREAD_PERCENTAGE": "100"}
