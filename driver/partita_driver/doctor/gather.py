"""Asks a node everything that doctor judges. Each question has a deadline, and an answer that fails is a fact too.

Nothing is changed: not on the GPUs, not on the node, not in the API.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from partita_driver.cdi.lint import ContainerEdits
from partita_driver.cdi.toolkit import Toolkit
from partita_driver.doctor.facts import Absent, FolderFacts, GpuFacts, KubeFacts, NodeFacts, ToolkitFacts
from partita_driver.hardware.calls import Hardware, HardwareError
from partita_driver.hardware.workers import Deadlines, Workers
from partita_driver.journal.records import JournalState
from partita_driver.opening.options import Options
from partita_driver.settings.watch import Node
from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import NODES, RESOURCE_SLICES
from partita_plugins.model.gpu import Gpu, NodeHardware
from partita_plugins.model.instances import ComputeMode
from partita_plugins.model.mig import Placement
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource_slice import ResourceSlice

T = TypeVar("T")

CALL_SECONDS = 10.0


def hardware_facts(node_name: str, backend_name: str, backend: DeviceBackend, state: JournalState) -> NodeFacts:
    """What the GPUs say of themselves, beside what the driver remembers of them."""
    hardware = Hardware(backend, Workers(), Deadlines(call_seconds=CALL_SECONDS))
    empty = NodeHardware(driver_version="", cuda_version="", gpus=(), links=())
    try:
        known = backend.gpu_uuids()
        discovery = hardware.discover(empty)
    except (PartitaError, HardwareError) as error:
        return NodeFacts(node_name=node_name, backend=backend_name, error=_said(error))
    found = {gpu.uuid for gpu in discovery.hardware.gpus}
    hanging = {error.gpu_uuid for error in discovery.hung}
    return NodeFacts(
        node_name=node_name,
        backend=backend_name,
        hardware=discovery.hardware,
        gpus=tuple(_gpu_facts(hardware, gpu, state) for gpu in discovery.hardware.gpus),
        absent=tuple(
            Absent(gpu_uuid=uuid, why="it hangs" if uuid in hanging else "it has fallen off the bus")
            for uuid in known
            if uuid not in found
        ),
    )


def failed(options: Options, error: PartitaError) -> NodeFacts:
    """A node whose GPUs cannot be asked anything."""
    return NodeFacts(node_name=options.node_name, backend=options.backend, error=_said(error))


def _gpu_facts(hardware: Hardware, gpu: Gpu, state: JournalState) -> GpuFacts:
    refusals: list[str] = []

    def ask(question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except (PartitaError, HardwareError) as error:
            refusals.append(_said(error))
            return otherwise

    return GpuFacts(
        gpu=gpu,
        health=ask(lambda: hardware.health(gpu.uuid), ()),
        processes=ask(lambda: hardware.processes(gpu.uuid), ()),
        instances=ask(lambda: hardware.instances(gpu.uuid), ()),
        compute_mode=ask(lambda: hardware.compute_mode(gpu.uuid), ComputeMode.DEFAULT),
        refusals=tuple(refusals),
        faults=tuple(fault for fault in state.faults if fault.gpu_uuid == gpu.uuid),
        look=state.looks.get(gpu.uuid),
        claims=tuple(_claims(state, gpu.uuid)),
    )


def _claims(state: JournalState, gpu_uuid: str) -> Iterable[tuple[str, Placement | None]]:
    for uid, claim in state.claims.items():
        for device in claim.devices:
            if gpu_uuid in device.gpu_uuids and not device.admin:
                yield uid, device.placement


def toolkit_facts(toolkit: Toolkit, driver_version: str) -> ToolkitFacts:
    """The node's nvidia-ctk, tried out."""
    program = ""
    try:
        program = toolkit.program()
        edits: ContainerEdits = toolkit.common_edits(driver_version)
    except PartitaError as error:
        return ToolkitFacts(program=program, error=_said(error))
    return ToolkitFacts(program=program, mounts=len(edits.mounts), hooks=len(edits.hooks))


def folder_facts(options: Options) -> tuple[FolderFacts, ...]:
    """The folders that the driver needs, as this process sees them."""
    wanted = (
        (options.registry_dir, "where the kubelet looks for plugins", _of_kubelet),
        (options.plugin_dir, "the driver's own socket", _of_ours),
        (options.cdi_dir, "CDI files", _of_ours),
        (options.state_dir, "the driver's memory", _of_ours),
    )
    return tuple(
        FolderFacts(path=str(path), purpose=purpose, problem=_problem(look, path)) for path, purpose, look in wanted
    )


def _problem(look: Callable[[Path], str], path: Path) -> str:
    try:
        return look(path)
    except OSError as error:  # only root may look into the kubelet's folders
        return f"cannot be looked at: {error.strerror}"


def _of_kubelet(path: Path) -> str:
    return _of_ours(path) if path.exists() else "does not exist: there is no kubelet here"


def _of_ours(path: Path) -> str:
    """The driver makes its own folders, so the nearest one that exists counts."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        return f"cannot be made: {there} is a file"
    return "" if os.access(there, os.W_OK | os.X_OK) else "cannot be written"


def kube_facts(options: Options) -> KubeFacts:
    """What the API server says of the node and of who publishes its devices."""
    try:
        api = KubeApi.connect(options.kubeconfig or None, user_agent="partita-doctor")
        node = api.get(NODES, options.node_name, as_=Node)
        selector = f"spec.nodeName={options.node_name}"
        slices, _ = api.list(RESOURCE_SLICES, as_=ResourceSlice, fieldSelector=selector)
    except PartitaError as error:
        return KubeFacts(error=_said(error))
    drivers = [entry.spec.driver for entry in slices]
    return KubeFacts(
        labels=node.metadata.labels,
        allocatable=node.status.allocatable,
        other_slices=tuple(sorted({driver for driver in drivers if driver != DRIVER_NAME})),
        ours=drivers.count(DRIVER_NAME),
    )


def _said(error: PartitaError | HardwareError) -> str:
    return str(error.error if isinstance(error, HardwareError) else error)
