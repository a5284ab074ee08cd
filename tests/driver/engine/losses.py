"""What may happen to a node with one claim while its driver is away: each function is one such case."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from partita_driver.engine.lost_journal.recall import Recalled
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.errors import Retryable
from partita_plugins.model.mig import Placement
from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim, ResourceClaimStatus
from partita_plugins.wire.resource_slice import Device
from tests.driver.engine.nodes import NODE, Node, claim, new_uid
from tests.driver.engine.test_crash import CrashNow, crash_at

PLACE = [(0, Placement(4, 4))]


@dataclass
class World:
    """A node, the claims that the API server has, and the slices as they were last published."""

    root: Path
    claims: dict[str, ResourceClaim] = field(default_factory=dict)
    slices: tuple[Device, ...] = ()
    api_is_gone: bool = False

    def __post_init__(self) -> None:
        self.node = Node(self.root, recall=self.recall)
        self.node.engine.confirm()
        self.held = self.allocate(self.node.mig(0, "3g", 4))

    def allocate(self, device: str) -> ResourceClaim:
        made = claim(device)
        self.claims[made.metadata.uid] = made
        return made

    def publish(self) -> None:
        offer = Offer(whole=True, mig_shapes=frozenset({"1g", "3g"}))
        inputs = PoolInputs(node_name=NODE, node=self.node.engine.node, offer=offer, faults=self.node.engine.faults())
        contents = desired_pool(inputs, Published(), frozenset())
        self.slices = tuple(device for content in contents for device in content.devices)

    def prepare(self) -> None:
        """As a whole: status.devices says so in the end."""
        self.node.engine.prepare(self.held)
        told = [AllocatedDeviceStatus(driver=DRIVER_NAME, pool=pool_name(NODE), device="told")]
        status = msgspec.structs.replace(self.held.status, devices=told)
        self.claims[self.held.metadata.uid] = msgspec.structs.replace(self.held, status=status)
        self.publish()

    def recall(self) -> Recalled:
        if self.api_is_gone:
            raise Retryable("no answer from the API server")
        return Recalled(devices=self.slices, claims=tuple(self.claims.values()))

    def holds(self, namespace: str, name: str, uid: str) -> bool:
        found = self.claims.get(uid)
        named = found is not None and (found.metadata.namespace, found.metadata.name) == (namespace, name)
        return named and found is not None and found.status.allocation is not None

    def deallocate(self) -> None:
        self.claims[self.uid] = msgspec.structs.replace(self.held, status=ResourceClaimStatus())

    def restart(self) -> None:
        """A new driver process, and the first round of its upkeep."""
        self.node.start()
        self.look()

    def look(self) -> None:
        self.node.engine.confirm()
        self.node.engine.reconcile()
        self.node.engine.reconcile_claims(self.holds)

    def lose_files(self) -> None:
        for path in (self.root / "cdi").iterdir():
            path.unlink()

    def make_by_hand(self, *, compute: bool) -> None:
        uuid = self.node.gpu_uuid(0)
        self.node.backend.set_mig_mode(uuid, enabled=True)
        made = self.node.backend.create_gpu_instance(uuid, int(self.device.split("-")[-2]), Placement(4, 4))
        if compute:
            self.node.backend.create_compute_instance(uuid, made.gpu_instance_id)

    @property
    def device(self) -> str:
        return self.node.mig(0, "3g", 4)

    @property
    def uid(self) -> str:
        return self.held.metadata.uid


def prepared(world: World) -> None:
    world.prepare()


def killed_between_instances(world: World) -> None:
    with crash_at("done-create-gpu-instance"), pytest.raises(CrashNow):
        world.node.engine.prepare(world.held)


def made_by_somebody_else(world: World) -> None:
    world.make_by_hand(compute=False)


def claim_gone(world: World) -> None:
    world.prepare()
    del world.claims[world.uid]


def claim_deallocated(world: World) -> None:
    world.prepare()
    world.deallocate()


def claim_replaced(world: World) -> None:
    claim_gone(world)
    successor = claim(world.device, uid=new_uid(), name=world.held.metadata.name)
    world.claims[successor.metadata.uid] = successor


def file_lost(world: World) -> None:
    world.prepare()
    world.lose_files()


def file_orphaned(world: World) -> None:
    (world.root / "cdi").mkdir(exist_ok=True)
    (world.root / "cdi" / f"{DRIVER_NAME}-claim_{new_uid()}.json").write_text("{}")


def temporary_files(world: World) -> None:
    world.prepare()
    (world.root / "cdi" / f".{DRIVER_NAME}-claim_{world.uid}.json.new").write_text("{")
    (world.root / "journal" / ".journal.a.new").write_text("partita-journal")


def rebooted(world: World) -> None:
    world.prepare()
    world.node.reboot()


def rebooted_and_claim_gone(world: World) -> None:
    rebooted(world)
    del world.claims[world.uid]


def journal_lost(world: World) -> None:
    world.prepare()
    world.node.lose_journal()


def journal_lost_and_claim_gone(world: World) -> None:
    claim_gone(world)
    world.node.lose_journal()


def journal_and_file_lost(world: World) -> None:
    file_lost(world)
    world.node.lose_journal()


def journal_file_and_status_lost(world: World) -> None:
    journal_and_file_lost(world)
    world.claims[world.uid] = world.held


def journal_lost_before_prepare(world: World) -> None:
    world.node.lose_journal()


def journal_lost_half_made(world: World) -> None:
    world.make_by_hand(compute=False)
    world.node.lose_journal()


def journal_lost_and_rebooted(world: World) -> None:
    world.prepare()
    world.node.lose_journal()
    world.node.reboot()


def journal_and_claim_lost_partition_there(world: World) -> None:
    claim_gone(world)
    world.lose_files()
    world.node.lose_journal()
