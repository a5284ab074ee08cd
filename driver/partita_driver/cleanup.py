"""What uninstalling removes: claims' partitions and CDI files, sockets, slices, the driver's memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from partita_driver.api.claims import recall
from partita_driver.api.node_condition import CONDITION, remove_condition
from partita_driver.cdi.files import CdiFolder
from partita_driver.engine import ClaimEngine
from partita_driver.hardware.workers import Deadlines
from partita_driver.journal.store import Journal, read_boot_id
from partita_driver.kubelet.sockets import is_served, remove_socket, sockets_of_any_instance
from partita_driver.lifecycle import ClaimState
from partita_driver.mps.keeper import Mps
from partita_driver.opening.opened import common_edits, open_backend, open_mps, open_strategies
from partita_driver.opening.options import SIMULATED, Options, StateLock
from partita_driver.opening.simulated_machine import with_machine
from partita_driver.running.handover import HANDOVER_LOCKS
from partita_plugins.errors import PartitaError, Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.resources import RESOURCE_SLICES
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.objects import ObjectMeta

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Removal:
    """One row of the table: what, and what became of it."""

    kind: str
    name: str
    outcome: str
    """"removed", "kept: <why>" or "failed: <why>"."""


class _Named(msgspec.Struct):
    metadata: ObjectMeta


def clean_up(options: Options, *, force: bool) -> Iterator[Removal]:
    """Remove what the driver left on this node, row by row. Claims in use are kept unless `force`.

    Without rows nothing was left. What fails is a row of its own and stops nothing else. Raises Retryable while a
    driver runs on the node.
    """
    lock = StateLock(options.state_dir)
    lock.acquire()
    removed = False
    try:
        known = options.journal_dir.exists()
        rows = list(_claims(options, force=force))
        yield from rows
        yield from _sockets(options)
        yield from _slices(options)
        if any(row.kind == "claim" and row.outcome != "removed" for row in rows):
            yield Removal("folder", str(options.journal_dir), "kept: it knows the claims that were kept")
            return
        row = _attempt("folder", str(options.state_dir), lambda: _forget(options))
        removed = row.outcome == "removed"
        if known or not removed:
            yield row
    finally:
        if removed:
            lock.remove()
            with suppress(OSError):  # It holds what is not ours, such as simulated hardware.
                options.state_dir.rmdir()
        lock.release()


def _forget(options: Options) -> None:
    """The driver's memory, without the lock."""
    shutil.rmtree(options.journal_dir)
    if options.backend != SIMULATED:  # Simulated hardware is nobody's memory.
        shutil.rmtree(options.state_dir / options.backend, ignore_errors=True)
    with suppress(OSError):  # Not there, or a daemon is still ending.
        options.mps_dir.rmdir()
    turns = [options.state_dir / name for name in HANDOVER_LOCKS]
    for path in (options.settings_file, options.settings_file.with_suffix(".new"), *turns):
        path.unlink(missing_ok=True)


def _claims(options: Options, *, force: bool) -> Iterator[Removal]:
    try:
        engine = _started(options)
    except PartitaError as error:
        yield Removal("claim", "all of this node", f"failed: {error}")
        return
    for uid, claim in engine.claims().items():
        devices = ", ".join(device.device for device in claim.devices)
        name = f"{claim.namespace}/{claim.name} ({devices})"
        if claim.state is ClaimState.PREPARED and not force:
            yield Removal("claim", name, "kept: a pod may be using it; delete the pod, or give --force")
        else:
            yield _attempt("claim", name, lambda uid=uid: _give_back(engine, uid))  # type: ignore[misc]
    engine.reconcile()
    for slot, placement in sorted(engine.foreign_placements()):
        why = "kept: it belongs to no claim; who made it destroys it: nvidia-smi mig -dci, then nvidia-smi mig -dgi"
        yield Removal("partition", f"GPU in slot {slot}, memory slices {placement.start} to {placement.end - 1}", why)


def _started(options: Options) -> ClaimEngine:
    """An engine on the node as it is. Raises Retryable where its hardware cannot be read."""
    engine = ClaimEngine(
        backend=open_backend(_with_machine(options)),
        validator=None,
        strategies=open_strategies(),
        journal=Journal(options.journal_dir, boot_id=read_boot_id(options.boot_id_file)),
        # As the driver's: what is kept may be written again.
        cdi=CdiFolder(
            options.cdi_dir,
            common_edits(options, lambda: engine.node.hardware.driver_version),
            host_root=options.host_root,
        ),
        node_name=options.node_name,
        deadlines=Deadlines(),
        on_faults=lambda _: None,
        recall=lambda: recall(KubeApi.connect(options.kubeconfig or None), options.node_name),
        mps=_mps(options),
    )
    engine.start()
    try:
        engine.confirm()
    except PartitaError as error:
        log.warning("the API server was not asked for claims of a lost journal", error=str(error))
    return engine


def _mps(options: Options) -> Mps | None:
    """MPS daemons, where there is a way to the API server."""
    try:
        return open_mps(options, KubeApi.connect(options.kubeconfig or None))
    except PartitaError as error:
        log.warning("MPS daemons are left alone", error=str(error))
        return None


def _with_machine(options: Options) -> Options:
    """A simulated node's machine may stand on its Node alone."""
    if options.machine or options.backend != SIMULATED:
        return options
    return with_machine(options, KubeApi.connect(options.kubeconfig or None))


def _give_back(engine: ClaimEngine, uid: str) -> None:
    engine.unprepare(uid)
    if uid in engine.claims():
        raise Retryable("its GPU does not answer", advice="clean up again once it was reset or the node has rebooted")


def _sockets(options: Options) -> Iterator[Removal]:
    for path in sockets_of_any_instance(DRIVER_NAME, options.registry_dir, options.plugin_dir):
        if is_served(path):
            yield Removal("socket", str(path), "kept: a process listens on it; stop it first")
        else:
            yield _attempt("socket", str(path), lambda path=path: remove_socket(path))  # type: ignore[misc]
    with suppress(OSError):  # Not there, or not empty.
        options.plugin_dir.rmdir()


def _slices(options: Options) -> Iterator[Removal]:
    selector = f"spec.driver={DRIVER_NAME},spec.nodeName={options.node_name}"
    try:
        api = KubeApi.connect(options.kubeconfig or None)
        found, _ = api.list(RESOURCE_SLICES, as_=_Named, fieldSelector=selector)
    except PartitaError as error:
        yield Removal("ResourceSlice", "all of this node", f"failed: {error}")
        return
    for entry in found:
        name = entry.metadata.name
        yield _attempt("ResourceSlice", name, lambda name=name: api.delete(RESOURCE_SLICES, name))  # type: ignore[misc]
    yield from _condition(api, options.node_name)


def _condition(api: KubeApi, node_name: str) -> Iterator[Removal]:
    try:
        if remove_condition(api, node_name):
            yield Removal("condition", CONDITION, "removed")
    except NotFound:
        return
    except PartitaError as error:
        yield Removal("condition", CONDITION, f"failed: {error}")


def _attempt(kind: str, name: str, remove: Callable[[], object]) -> Removal:
    try:
        remove()
    except (PartitaError, OSError) as error:
        return Removal(kind, name, f"failed: {error}")
    return Removal(kind, name, "removed")
