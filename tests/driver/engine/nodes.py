"""A driver's engine over a simulated machine in a folder: what a process finds there, and what outlives it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from partita_driver.cdi.files import CdiFolder
from partita_driver.engine import ClaimEngine
from partita_driver.engine.lost_journal.confirm import Recall
from partita_driver.hardware.workers import Deadlines
from partita_driver.health.faults import Fault
from partita_driver.journal.copies import COPIES
from partita_driver.journal.store import Journal
from partita_driver.mps.keeper import Mps
from partita_plugins.backends.simulated import Delays, SimulatedBackend, open_backend
from partita_plugins.contracts import DeviceBackend, SharingStrategy, Validator
from partita_plugins.model.instances import GpuInstance
from partita_plugins.model.mig import Placement
from partita_plugins.sharing.exclusive import Exclusive
from partita_plugins.sharing.mig import Mig
from partita_plugins.sharing.monitor import Monitor
from partita_plugins.sharing.mps import Mps as MpsStrategy
from partita_plugins.sharing.timeslice import Timeslice
from partita_plugins.validators.reference import ReferenceValidator
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.engine.mps_daemons import FakeDaemons

NODE = "node-a"
STRATEGIES: dict[str, SharingStrategy] = {
    "exclusive": Exclusive(),
    "mig": Mig(),
    "timeslice": Timeslice(),
    "monitor": Monitor(),
    "mps": MpsStrategy(),
}
WORDS = 2**17
DEADLINES = Deadlines(call_seconds=30.0, discover_seconds=30.0, validate_seconds=30.0, lock_seconds=40.0)
QUICK = replace(DEADLINES, call_seconds=0.5, discover_seconds=0.8)
"""Where calls hang: what does not hang takes a hundredth of it, and on a busy machine less than all of it."""


_uids = itertools.count(1)


def new_uid() -> str:
    """A UID as the API server gives them out."""
    return f"00000000-0000-4000-8000-{next(_uids):012d}"


@dataclass
class Node:
    """One node: folders that stay, and the driver process of the moment."""

    root: Path
    machine: str = "hgx-h100"
    delays: Delays = field(default_factory=Delays)
    deadlines: Deadlines = DEADLINES
    validate: bool = True
    destroy_unknown: bool = False
    shuffle_minors: bool = False
    boot_id: str = "boot-1"
    recall: Recall | None = None
    told: list[Fault] = field(default_factory=list)
    daemons: FakeDaemons = field(default_factory=FakeDaemons)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> ClaimEngine:
        """Begin as a new driver process."""
        self.backend: SimulatedBackend = open_backend(
            self.root / "hardware",
            self.machine,
            seed=NODE,
            delays=self.delays,
            words=WORDS,
            shuffle_minors=self.shuffle_minors,
        )
        validator: Validator | None = ReferenceValidator(self.backend) if self.validate else None
        self.journal = Journal(self.root / "journal", boot_id=self.boot_id)
        self.engine = ClaimEngine(
            backend=self.seen_by_driver(),
            validator=validator,
            strategies=STRATEGIES,
            journal=self.journal,
            cdi=CdiFolder(self.root / "cdi"),
            node_name=NODE,
            deadlines=self.deadlines,
            on_faults=self.told.extend,
            recall=self.recall,
            mps=Mps(self.daemons, self.root / "mps"),
            destroy_unknown_instances=self.destroy_unknown,
        )
        self.engine.start()
        return self.engine

    def seen_by_driver(self) -> DeviceBackend:
        """The hardware as the driver reaches it; tests always reach it through `backend`."""
        return self.backend

    def reboot(self) -> None:
        """Lose what a reboot loses, and start again."""
        self.backend.reboot()
        self.boot_id = f"{self.boot_id}+"
        for path in (self.root / "cdi").glob("*.json"):
            path.unlink()
        self.start()

    def lose_journal(self) -> None:
        """As a new disk does."""
        for copy in COPIES:
            (self.root / "journal" / copy).unlink(missing_ok=True)

    def gpu_uuid(self, slot: int) -> str:
        return self.engine.node.gpus[slot].uuid

    def whole(self, slot: int) -> str:
        return f"gpu-{self.engine.node.gpus[slot].pci_label}"

    def shared(self, slot: int) -> str:
        return f"{self.whole(slot)}-shared"

    def mig(self, slot: int, shape: str, start: int) -> str:
        """Name of a partition, by shape and first slice."""
        gpu = self.engine.node.gpus[slot]
        assert gpu.mig
        profile = next(p for p in gpu.mig.profiles if p.short_name == shape and p.enum in (0, 1, 2, 3, 4))
        return f"{self.whole(slot)}-mig-{shape}-{profile.profile_id}-{start}"

    def instances(self) -> dict[int, list[GpuInstance]]:
        """GPU instances on the hardware, by slot."""
        return {
            slot: list(self.backend.gpu_instances(gpu.uuid)) if gpu.mig and gpu.mig.enabled else []
            for slot, gpu in self._hardware_now().items()
        }

    def placements(self) -> list[tuple[int, Placement]]:
        return sorted((slot, one.placement) for slot, found in self.instances().items() for one in found)

    def mig_enabled(self, slot: int) -> bool:
        mig = self._hardware_now()[slot].mig
        return mig is not None and mig.enabled

    def time_slice(self, slot: int) -> str:
        return self.backend.machine.files.load(self.gpu_uuid(slot)).time_slice

    def cdi_files(self) -> list[str]:
        return sorted(path.name for path in (self.root / "cdi").glob("*"))

    def cdi(self, uid: str) -> Any:
        return msgspec.json.decode((self.root / "cdi" / f"{DRIVER_NAME}-claim_{uid}.json").read_bytes())

    def _hardware_now(self) -> dict[int, Any]:
        slots = self.journal.state.slots
        return {slots[gpu.pci_bus_id]: gpu for gpu in self.backend.machine.discover().gpus}


def result(device: str, request: str = "gpu", **fields: Any) -> dict[str, Any]:
    return {"request": request, "driver": DRIVER_NAME, "pool": pool_name(NODE), "device": device, **fields}


def claim(
    *results: dict[str, Any] | str, uid: str = "", name: str = "c", config: list[dict[str, Any]] | None = None
) -> ResourceClaim:
    """An allocated claim."""
    listed = [result(one) if isinstance(one, str) else one for one in results]
    body = {
        "metadata": {"name": name, "namespace": "default", "uid": uid or new_uid()},
        "status": {"allocation": {"devices": {"results": listed, "config": config or []}}},
    }
    return msgspec.json.decode(msgspec.json.encode(body), type=ResourceClaim)


def time_slice_config(interval: str) -> list[dict[str, Any]]:
    return gpu_config(timeSlice=interval)


def gpu_config(**words: Any) -> list[dict[str, Any]]:
    """Opaque parameters that a claim says of all its requests."""
    parameters = {"apiVersion": f"{DRIVER_NAME}/v1alpha1", "kind": "GpuConfig", **words}
    return [{"source": "FromClaim", "opaque": {"driver": DRIVER_NAME, "parameters": parameters}}]
