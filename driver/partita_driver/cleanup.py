"""What uninstalling removes: claims' partitions and CDI files, sockets, slices, and in the end the driver's memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from partita_driver.cdi import CdiFolder
from partita_driver.engine import ClaimEngine
from partita_driver.journal import Journal, read_boot_id
from partita_driver.kubelet.sockets import remove_socket, socket_paths
from partita_driver.lifecycle import ClaimState
from partita_driver.options import Options, StateLock, open_backend, open_strategies
from partita_driver.workers import Deadlines
from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import RESOURCE_SLICES
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import ObjectMeta


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

    Raises Retryable while a driver runs on the node.
    """
    lock = StateLock(options.state_dir)
    lock.acquire()
    try:
        rows = list(_claims(options, force=force))
        yield from rows
        yield from _sockets(options)
        yield from _slices(options)
        if all(row.outcome == "removed" for row in rows):
            yield _attempt("folder", str(options.journal_dir), lambda: shutil.rmtree(options.journal_dir))
        else:
            yield Removal("folder", str(options.journal_dir), "kept: it knows the claims that were kept")
    finally:
        lock.release()


def _claims(options: Options, *, force: bool) -> Iterator[Removal]:
    engine = ClaimEngine(
        backend=open_backend(options),
        validator=None,
        strategies=open_strategies(),
        journal=Journal(options.journal_dir, boot_id=read_boot_id(options.boot_id_file)),
        cdi=CdiFolder(options.cdi_dir),
        node_name=options.node_name,
        deadlines=Deadlines(),
        on_fault=lambda _: None,
    )
    engine.start()
    for uid, claim in engine.claims().items():
        devices = ", ".join(device.device for device in claim.devices)
        name = f"{claim.namespace}/{claim.name} ({devices})"
        if claim.state is ClaimState.PREPARED and not force:
            yield Removal("claim", name, "kept: a pod may be using it; delete the pod, or give --force")
        else:
            yield _attempt("claim", name, lambda uid=uid: engine.unprepare(uid))  # type: ignore[misc]


def _sockets(options: Options) -> Iterator[Removal]:
    paths = socket_paths(DRIVER_NAME, options.registry_dir, options.plugin_dir, options.pod_uid)
    for path in (paths.registrar, paths.plugin):
        if path.exists():
            yield _attempt("socket", str(path), lambda path=path: remove_socket(path))  # type: ignore[misc]


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


def _attempt(kind: str, name: str, remove: Callable[[], object]) -> Removal:
    try:
        remove()
    except (PartitaError, OSError) as error:
        return Removal(kind, name, f"failed: {error}")
    return Removal(kind, name, "removed")
