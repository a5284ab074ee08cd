"""What goes wrong around the driver: hardware, disk, API server, and people."""

from __future__ import annotations

from typing import get_args

from hack.robustness.simulation.judge import check
from hack.robustness.simulation.steps import Step, chosen
from hack.robustness.simulation.world import EVERYTHING, SimulatedWorld

from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import Fault as Planted
from partita_plugins.backends.simulated import GpuLost, HungCall, SelfReport, StuckBit, WrongMemorySize, Xid
from partita_plugins.backends.simulated.faults import Report
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import GpuInstance
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
    _plant(world, chosen(faults, step.pick), 2.0 + 120.0 * step.amount)


def _plant(world: SimulatedWorld, fault: Planted, seconds: float) -> None:
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


def lose_cdi(world: SimulatedWorld, step: Step) -> None:
    if world.confirmed:  # else a file may be all that tells of a claim
        _lose_files(world, step.amount)


def _lose_files(world: SimulatedWorld, amount: float) -> None:
    files = sorted((world.folder / "cdi").glob("*.json"))
    for path in files if amount > 0.7 else files[:1]:
        path.unlink()
    world.cdi_lost = True
    world.say("CDI files are lost")


def lose_journal(world: SimulatedWorld, step: Step) -> None:
    """The journal is gone while the driver is down and, mostly, a GPU does not answer; CDI files may be gone as well.

    Only at a quiet moment at which the rest of the node and the API server know everything that the journal knew.
    """
    check(world)
    driver, server = world.driver, world.server
    if driver is None or not driver.process.alive or world.outage or not server.slices:
        return
    state = driver.journal.state
    records = state.claims.values()
    if any(record.state is not ClaimState.PREPARED or not driver.cdi.exists(record.uid) for record in records):
        return
    if any(fault.placement for fault in state.faults):
        return  # found again, it may be that of the whole GPU
    gpu = chosen(world.machine.hardware.gpus, step.amount).uuid
    faults: tuple[Planted | None, ...] = (
        *(GpuLost(gpu_uuid=gpu),) * 3,
        *(HungCall(gpu_uuid=gpu, call=call) for call in ("*", "discover", "gpu_instances", "device_nodes")),
        None,
    )
    fault = chosen(faults, step.pick)
    if fault:
        _plant(world, fault, 2.0 + 300.0 * step.amount)
    world.kill_driver("between calls")
    for path in (world.folder / "journal").iterdir():
        path.unlink()
    world.say("the journal is lost")
    in_api = {claim.metadata.uid for claim in server.claims.values()}
    to_be_found = all(record.uid in in_api and all(one.placement for one in record.devices) for record in records)
    files_too = to_be_found and step.pick * 10 % 1 > 0.5
    if files_too:
        _lose_files(world, 1.0)
    if files_too or any(one.time_slice != "Default" for record in records for one in record.devices):
        # What the API alone knows of a claim must not go before the driver has asked for it.
        while not world.confirmed:
            world.tasks.sleep(5.0)


def damage_journal(world: SimulatedWorld, step: Step) -> None:
    """One copy rots while the driver is down."""
    world.kill_driver("between calls")
    path = world.folder / "journal" / chosen(("journal.a", "journal.b"), step.pick)
    if path.exists():
        path.write_bytes(path.read_bytes()[: int(step.amount * 200)])
        world.say(f"{path.name} is damaged")
