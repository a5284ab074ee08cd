"""What goes wrong around the driver: hardware, disk, API server, and people."""

from __future__ import annotations

from typing import get_args

from hack.robustness.simulation.steps import Step, chosen
from hack.robustness.simulation.world import EVERYTHING, SimulatedWorld

from partita_plugins.backends.simulated import Fault as Planted
from partita_plugins.backends.simulated import GpuLost, HungCall, SelfReport, StuckBit, WrongMemorySize, Xid
from partita_plugins.backends.simulated.faults import Report
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import Offer

CALLS = (
    "discover",
    "set_mig_mode",
    "gpu_instances",
    "create_gpu_instance",
    "destroy_gpu_instance",
    "create_compute_instance",
    "destroy_compute_instance",
    "device_nodes",
    "open_memory",
)
OFFERS = (
    EVERYTHING,
    Offer(whole=True),
    Offer(whole=False, mig_shapes=frozenset({"1g", "3g"})),
    Offer(whole=True, shared=True),
)
XIDS = (79, 31, 63, 48)


def trouble_api(world: SimulatedWorld, step: Step) -> None:
    server = world.server
    trouble = chosen(("gone", "slow", "losing answers", "well", "well"), step.pick)
    world.say(f"the API server is {trouble}")
    server.down = trouble == "gone"
    server.slow_seconds = 8.0 * step.amount if trouble == "slow" else 0.0
    server.losing_chance = 0.3 if trouble == "losing answers" else 0.0


def break_gpu(world: SimulatedWorld, step: Step) -> None:
    """A fault of one GPU, lifted after a while."""
    gpu = chosen(world.machine.hardware.gpus, step.amount).uuid
    faults: tuple[Planted, ...] = (
        *(HungCall(gpu_uuid=gpu, call=call) for call in CALLS),
        *(GpuLost(gpu_uuid=gpu),) * 3,
        *(StuckBit(gpu_uuid=gpu, word=int(step.amount * 997) % 128, bit=3),) * 4,
        SelfReport(gpu_uuid=gpu, report=chosen(get_args(Report), step.amount * 11 % 1), start=int(step.amount * 8)),
        *(Xid(gpu_uuid=gpu, xid=chosen(XIDS, step.amount * 7 % 1)),) * 3,
        WrongMemorySize(gpu_uuid=gpu, missing_mib=512),
    )
    plant(world, chosen(faults, step.pick), 2.0 + 120.0 * step.amount)


def plant(world: SimulatedWorld, fault: Planted, seconds: float) -> None:
    """Break something, and lift the fault after so long."""
    planted = world.machine.faults.plant(fault)
    world.say(f"broken: {fault}")

    def lift() -> None:
        world.tasks.sleep(seconds)
        world.say(f"whole again: {planted}")
        world.machine.faults.lift(planted)

    world.tasks.start(world.outside, f"lift-{planted}", lift)


def open_gpu(world: SimulatedWorld, step: Step) -> None:
    """A monitoring agent opens a GPU or a partition for a while: what it holds cannot be destroyed."""
    gpu = chosen(world.machine.hardware.gpus, step.pick).uuid
    instances = [one for one in world.machine.files.load(gpu).instances if one.compute]
    instance = chosen(instances, step.amount).gpu_instance_id if instances else None
    client = f"agent-{world.tasks.steps}"
    backend = world.hands

    def stay() -> None:
        world.tasks.sleep(5.0 + 60.0 * step.amount)
        backend.stop_client(gpu, client)

    backend.start_client(gpu, client, instance)
    world.say(f"{client} opens {gpu}, instance {instance}")
    world.tasks.start(world.outside, client, stay)


def fill_disk(world: SimulatedWorld, step: Step) -> None:
    world.full_disk = step.pick > 0.4
    world.was_full = world.was_full or world.full_disk
    world.say(f"the disk is {'full' if world.full_disk else 'free again'}")


def make_by_hand(world: SimulatedWorld, step: Step) -> None:
    """Somebody makes a partition by hand, and takes it away later."""
    gpu = chosen(world.machine.hardware.gpus, step.pick)
    assert gpu.mig
    profile = next(one for one in gpu.mig.profiles if one.short_name == ("3g" if step.amount > 0.6 else "1g"))
    placement: Placement = chosen(profile.placements, step.amount * 13 % 1)
    tasks, hands = world.tasks, world.hands
    partition = (gpu.uuid, profile.profile_id, placement)

    def make() -> None:
        world.foreign.add(partition)
        try:
            instance = hands.create_gpu_instance(gpu.uuid, profile.profile_id, placement)
        except BackendError as error:
            world.say(f"nothing made by hand: {error}")
            world.foreign.discard(partition)
            return
        tasks.sleep(20.0 + 100.0 * step.amount)
        boots = world.boots
        while world.boots == boots and not _destroyed_by_hand(world, instance):
            tasks.sleep(5.0)
        world.foreign.discard(partition)

    tasks.start(world.outside, "by-hand", make)


def _destroyed_by_hand(world: SimulatedWorld, instance: GpuInstance) -> bool:
    """Whether it is theirs no more; not yet where the GPU does not answer.

    A claim that was being prepared at that very place has taken it for its own, made its compute instance, and ends it.
    """
    try:
        world.hands.destroy_gpu_instance(instance.gpu_uuid, instance.gpu_instance_id)
    except BackendError as error:
        world.say(f"the one made by hand is not destroyed: {error}")
        return error.code in (NvmlCode.NOT_FOUND, NvmlCode.NOT_SUPPORTED, NvmlCode.IN_USE)
    return True


def change_offer(world: SimulatedWorld, step: Step) -> None:
    world.offer = chosen(OFFERS, step.pick)
    world.say(f"the node offers choice {OFFERS.index(world.offer)} of its table")
    if world.driver and world.driver.serving:
        world.driver.publisher.loop.wake()
