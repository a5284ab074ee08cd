"""What the backend keeps on disk because NVML forgets it: the GPUs of this boot, and XIDs that wait for a reset."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from partita_plugins.backends.files import write_atomically
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.mig import Placement
from partita_plugins.model.xids import MENDED_BY_REBOOT, MENDED_BY_RESET

log = structlog.get_logger(__name__)


class XidRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An XID that was reported, and the parts of the GPU it concerned."""

    xid: int
    placements: tuple[tuple[int, int], ...] = ()

    def event(self, gpu_uuid: str) -> HealthEvent:
        """The same as the port tells it."""
        placements = tuple(Placement(*one) for one in self.placements)
        return HealthEvent(
            gpu_uuid=gpu_uuid,
            kind="xid",
            xid=self.xid,
            message=f"the GPU reported XID {self.xid}, and was not reset since",
            placements=placements,
        )


class GpuMemory(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU's XIDs, and counters that only grow until a reset."""

    xids: tuple[XidRecord, ...] = ()
    counters: dict[str, int] = {}


class NodeMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    boot_id: str = ""
    uuids: tuple[str, ...] = ()
    """In NVML's order, as last seen complete."""

    gpus: dict[str, GpuMemory] = {}


def remembering(memory: GpuMemory, event: HealthEvent, counters: dict[str, int]) -> GpuMemory:
    """With one more XID, where only a reset or a reboot mends what it stands for."""
    if event.xid is None or event.xid not in MENDED_BY_RESET | MENDED_BY_REBOOT:
        return memory
    record = XidRecord(xid=event.xid, placements=tuple((one.start, one.size) for one in event.placements))
    xids = memory.xids if record in memory.xids else (*memory.xids, record)
    return GpuMemory(xids=xids, counters={**memory.counters, **counters})


def after_look(memory: GpuMemory, counters: dict[str, int], seen: GpuMemory) -> GpuMemory:
    """As of now: without the XIDs that a reset has mended, if there was one.

    A counter that went back proves that the GPU was reset or its driver reloaded. None went back proves nothing: a GPU
    that was reset unseen, and has since used more energy than ever before, keeps its XIDs until the reboot.

    `seen` is what was kept when the counters were about to be read: others may have read them later and be done sooner.
    """
    if any(counters.get(name, value) < value for name, value in seen.counters.items()):
        xids = tuple(one for one in memory.xids if one.xid in MENDED_BY_REBOOT or one not in seen.xids)
        return GpuMemory(xids=xids, counters=counters)
    newest = {name: max(value, memory.counters.get(name, value)) for name, value in counters.items()}
    return GpuMemory(xids=memory.xids, counters={**memory.counters, **newest})


class Memory:
    """The file, as of this boot; thread-safe. One that is damaged or of another boot counts as empty."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path, self._boot_id = path, boot_id
        self._lock = threading.Lock()
        self._node: NodeMemory | None = None

    @property
    def uuids(self) -> tuple[str, ...]:
        """The GPUs of this boot, in NVML's order; empty if they were never seen complete."""
        with self._lock:
            return self._now().uuids

    def saw(self, uuids: tuple[str, ...]) -> None:
        """Keep the GPUs of this boot."""
        self._change(lambda node: msgspec.structs.replace(node, uuids=uuids))

    def gpu(self, gpu_uuid: str) -> GpuMemory:
        """What is kept of one GPU."""
        with self._lock:
            return self._now().gpus.get(gpu_uuid, GpuMemory())

    def change(self, gpu_uuid: str, change: Callable[[GpuMemory], GpuMemory]) -> GpuMemory:
        """Change what is kept of one GPU. Where the disk does not take it, it is known until the process ends."""
        node = self._change(
            lambda node: msgspec.structs.replace(
                node, gpus={**node.gpus, gpu_uuid: change(node.gpus.get(gpu_uuid, GpuMemory()))}
            )
        )
        return node.gpus[gpu_uuid]

    def _now(self) -> NodeMemory:
        if self._node is None:
            self._node = self._read()
        return self._node

    def _read(self) -> NodeMemory:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=NodeMemory)
        except FileNotFoundError:
            return NodeMemory(boot_id=self._boot_id)
        except (OSError, msgspec.DecodeError) as error:
            log.warning("what GPUs reported earlier cannot be read", path=str(self._path), error=str(error))
            return NodeMemory(boot_id=self._boot_id)
        return found if found.boot_id == self._boot_id else NodeMemory(boot_id=self._boot_id)

    def _change(self, change: Callable[[NodeMemory], NodeMemory]) -> NodeMemory:
        with self._lock:
            before = self._now()
            after = self._node = change(before)
            if after != before:
                self._write(after)
            return after

    def _write(self, node: NodeMemory) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, msgspec.json.encode(node))
        except OSError as error:
            log.warning(
                "what GPUs reported cannot be kept: a restart forgets it", path=str(self._path), error=str(error)
            )
