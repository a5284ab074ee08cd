"""What the disk loses: CDI files, a copy of the journal, or all of it while a GPU does not answer."""

from __future__ import annotations

from hack.robustness.simulation.judge import check
from hack.robustness.simulation.steps import Step, chosen
from hack.robustness.simulation.troubles import plant
from hack.robustness.simulation.world import SimulatedWorld

from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import Fault as Planted
from partita_plugins.backends.simulated import GpuLost, HungCall

SILENT_CALLS = ("*", "discover", "gpu_instances", "device_nodes")


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
        *(HungCall(gpu_uuid=gpu, call=call) for call in SILENT_CALLS),
        None,
    )
    fault = chosen(faults, step.pick)
    if fault:
        plant(world, fault, 2.0 + 300.0 * step.amount)
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
