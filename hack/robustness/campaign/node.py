"""One node for one cell: its folders, hardware and API server, and what a person or a kubelet does with them."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.robustness.campaign.folders import MACHINE, NODE, Folders

from partita_driver.settings.parse import CONFIG_MAP, KEY
from partita_plugins.backends.simulated.machine import build_machine
from partita_plugins.backends.simulated.records import MachineRecord
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import PLAIN_PROFILE_ENUMS
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.kubelet.drivers import ClaimRef
from partita_plugins.testing.scheduling import binding_failure, is_ready_to_bind
from partita_plugins.wire import DRIVER_NAME, VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION, pool_name

SETTINGS = "nodes: [{offer: {whole: true, mig: [1g, 3g], shared: true, groups: [2], monitor: true}}]"
NAMESPACE = "default"
SHARE_MEMORY = "10Gi"
TIME_SLICE = "Short"

_names = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a claim is allocated: devices by name, and how they are used."""

    devices: tuple[str, ...]
    admin: bool = False
    waits: bool = False
    """kube-scheduler waits for their validation before it binds the pod."""


class Node:
    """A node without its driver: that is a process, which comes and goes."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(root)
        root.mkdir(parents=True)
        for folder in (self.folders.state, self.folders.cdi):
            folder.mkdir()
        self.machine = build_machine(self.folders.hardware, MachineRecord(machine=MACHINE, seed=NODE))
        self.server = ApiServer()
        self.server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        metadata = {"name": CONFIG_MAP, "namespace": "partita-system"}
        self.server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: SETTINGS}})
        self.server.start().write_kubeconfig(self.folders.kubeconfig)
        self._boots = 0
        self.new_boot()

    @property
    def gpus(self) -> Mapping[int, Gpu]:
        """By slot: on a new node slots follow the order of the GPUs."""
        return dict(enumerate(self.machine.hardware.gpus))

    def whole(self, slot: int) -> str:
        return f"gpu-{self.gpus[slot].pci_label}"

    def shared(self, slot: int) -> str:
        return f"{self.whole(slot)}-shared"

    def partition(self, slot: int, shape: str, start: int) -> str:
        mig = self.gpus[slot].mig
        assert mig
        profile = next(one for one in mig.profiles if one.short_name == shape and one.enum in PLAIN_PROFILE_ENUMS)
        return f"{self.whole(slot)}-mig-{shape}-{profile.profile_id}-{start}"

    def claim(self, wish: Wish) -> ClaimRef:
        """A claim in the API, allocated here and reserved for a pod."""
        name = f"claim-{next(_names)}"
        requests = [
            {
                "name": f"r{index}",
                "exactly": {"deviceClassName": "any", **({"adminAccess": True} if wish.admin else {})},
            }
            for index in range(len(wish.devices))
        ]
        made = self.server.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"devices": {"requests": requests}},
            }
        )
        results = [_result(index, device, wish) for index, device in enumerate(wish.devices)]
        devices: dict[str, Any] = {"results": results}
        if any(device.endswith("-shared") for device in wish.devices):
            parameters = {"apiVersion": f"{DRIVER_NAME}/v1alpha1", "kind": "GpuConfig", "timeSlice": TIME_SLICE}
            devices["config"] = [
                {"source": "FromClaim", "opaque": {"driver": DRIVER_NAME, "parameters": parameters}},
            ]
        reserved = [{"resource": "pods", "name": f"{name}-pod", "uid": f"{name}-pod-uid"}]
        made["status"] = {"allocation": {"devices": devices}, "reservedFor": reserved}
        self.server.update(made, subresource="status")
        return ClaimRef(namespace=NAMESPACE, name=name, uid=str(made["metadata"]["uid"]))

    def let_wait(self) -> None:
        """The node's settings ask for validation before the bind."""
        found = self.server.get("ConfigMap", CONFIG_MAP, "partita-system")
        self.server.update({**found, "data": {KEY: SETTINGS.replace("}}]", "}, validation: {bind: true}}]")}})

    def told(self, ref: ClaimRef) -> str:
        """What kube-scheduler reads of a claim's binding conditions: "ready", what failed, or nothing yet."""
        claim = self.server.get("ResourceClaim", ref.name, ref.namespace)
        return binding_failure(claim) or ("ready" if is_ready_to_bind(claim) else "")

    def forget_claim(self, ref: ClaimRef) -> None:
        """The claim is gone from the API."""
        self.server.delete("ResourceClaim", ref.name, ref.namespace)

    def deallocate(self, ref: ClaimRef) -> None:
        """Its pod is gone: the control plane takes reservation and allocation back."""
        claim = self.server.get("ResourceClaim", ref.name, ref.namespace)
        claim["status"] = {}
        self.server.update(claim, subresource="status")

    def heal(self) -> None:
        """Whatever was broken is well again."""
        for fault_id in self.machine.faults.all():
            self.machine.faults.lift(fault_id)

    @property
    def broken(self) -> bool:
        """Whether any hardware is."""
        return bool(self.machine.faults.all())

    @property
    def rebooted(self) -> bool:
        """Whether it ever was."""
        return self._boots > 1

    def new_boot(self) -> None:
        """Another boot id."""
        self._boots += 1
        self.folders.boot_id.write_text(f"boot-{self._boots}")

    def reboot(self) -> None:
        """What a reboot takes: instances, device nodes, everything on tmpfs."""
        self.machine.reboot()
        shutil.rmtree(self.folders.cdi)
        self.folders.cdi.mkdir()
        self.new_boot()

    def close(self) -> None:
        self.server.stop()


def _result(index: int, device: str, wish: Wish) -> dict[str, Any]:
    result: dict[str, Any] = {"request": f"r{index}", "driver": DRIVER_NAME, "pool": pool_name(NODE), "device": device}
    if wish.admin:
        result["adminAccess"] = True
    if wish.waits:
        result["bindingConditions"] = [VALIDATED_CONDITION]
        result["bindingFailureConditions"] = [VALIDATION_FAILED_CONDITION]
    if device.endswith("-shared"):
        result["shareID"] = f"00000000-0000-4000-8000-{next(_names):012d}"
        result["consumedCapacity"] = {"memory": SHARE_MEMORY}
    return result


def cdi_file_uid(path: Path) -> str:
    """The claim whose CDI file that is."""
    return path.name.removeprefix(f"{DRIVER_NAME}-claim_").removesuffix(".json")


def damage(path: Path) -> None:
    """Make a file unreadable, as a bad sector does."""
    path.write_bytes(b"\xff" * 64)


def orphan(folder: Path) -> None:
    """CDI files that nobody owns: a whole one, and what a kill left half-written."""
    text = json.dumps({"cdiVersion": "0.5.0", "kind": f"{DRIVER_NAME}/claim", "devices": []})
    (folder / f"{DRIVER_NAME}-claim_00000000-0000-4000-8000-00000000dead.json").write_text(text)
    (folder / f".{DRIVER_NAME}-claim_dead.json.new").write_text("{")
