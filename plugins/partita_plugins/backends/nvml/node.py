"""All GPUs of the node with their links: those that answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from partita_plugins.backends.nvml import discovery, links
from partita_plugins.backends.nvml.host import Host
from partita_plugins.backends.nvml.session import Session
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import Gpu, NodeHardware

NOT_ANSWERING = frozenset(
    {
        NvmlCode.GPU_IS_LOST,
        NvmlCode.RESET_REQUIRED,
        NvmlCode.INSUFFICIENT_POWER,
        NvmlCode.IRQ_ISSUE,
        NvmlCode.CORRUPTED_INFOROM,
        NvmlCode.UNKNOWN,
    }
)
"""Errors of one GPU: it is left out of a discovery. All others are about the node or about us."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One GPU of a discovery, and what its links are read with."""

    gpu: Gpu
    handle: Any
    links: links.Links


class NodeLook:
    """Discovers the node, again and again."""

    def __init__(self, session: Session, host: Host) -> None:
        self._session, self._host = session, host
        self._links: dict[str, links.Links] = {}
        """As last read with MIG off; of a GPU that had it on ever since the start, as read then."""

        self._known: dict[str, Gpu] = {}
        """As last discovered. What a GPU tells in one MIG mode alone does not change by the other."""

    def discover(self, without: Collection[str]) -> NodeHardware:
        """Every GPU that answers, but those in `without`, which are never asked."""
        asked = [self._found(gpu_uuid) for gpu_uuid in self._session.uuids() if gpu_uuid not in without]
        found = [one for one in asked if one is not None]
        driver_version, cuda_version = self._session.at_large("reading versions", discovery.versions)
        gpus = tuple(one.gpu for one in found)
        pairs = self._session.at_large(
            "reading the topology",
            lambda: links.links(
                [one.handle for one in found], [gpu.pci_bus_id for gpu in gpus], [one.links for one in found]
            ),
        )
        return NodeHardware(
            driver_version=driver_version,
            cuda_version=cuda_version,
            gpus=gpus,
            links=pairs,
            nvlink_gbps=max((one.links.gbps for one in found), default=0),
        )

    def _found(self, gpu_uuid: str) -> _Found | None:
        """One GPU; None where it does not answer."""

        def read(handle: Any) -> _Found:
            gpu, found = discovery.gpu(handle, self._host), links.read(handle)
            if gpu.mig is not None and gpu.mig.enabled:
                # Links may be down in MIG mode. What is reached over them once it is off does not change by that.
                found = self._links.get(gpu_uuid, found)
            self._links[gpu_uuid] = found
            return _Found(self._completed(gpu), handle, found)

        try:
            return self._session.on(gpu_uuid, "discovery", read)
        except BackendError as error:
            if error.code in NOT_ANSWERING:
                return None
            raise

    def _completed(self, gpu: Gpu) -> Gpu:
        """With what it told before and does not now: R535 lists profiles only while MIG is on."""
        known = self._known.get(gpu.uuid, gpu)
        multiprocessors = gpu.multiprocessors or known.multiprocessors
        if gpu.mig is not None and known.mig is not None:
            profiles = gpu.mig.profiles or known.mig.profiles
            gpu = replace(gpu, mig=replace(gpu.mig, profiles=profiles))
        self._known[gpu.uuid] = gpu = replace(gpu, multiprocessors=multiprocessors)
        return gpu
