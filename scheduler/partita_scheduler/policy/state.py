"""What is in use and what would be picked, as the node states that scorers judge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from partita_plugins.contracts import GpuState, NodeState, Outcome, PodShape
from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.quantity import MIB, to_mib
from partita_plugins.wire.resource_slice import Device
from partita_scheduler.allocator.in_use import NOTHING, PoolUse, Uses
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.result import Pick
from partita_scheduler.policy.layout import Layout, Piece, layout

_ASKED = re.compile(
    r"\.memory\s*\.\s*(?:isGreaterThan\(\s*quantity\(\s*[\"']([^\"']+)[\"']\s*\)\s*\)"
    r"|compareTo\(\s*quantity\(\s*[\"']([^\"']+)[\"']\s*\)\s*\)\s*>=?)"
)


def outcome(pools: tuple[InputPool, ...], uses: Uses, picks: Iterable[Pick]) -> Outcome:
    """The node before and after the picks, CPU aside; without GPUs of ours both are empty."""
    chosen = list(picks)
    before: dict[int, GpuState] = {}
    after: dict[int, GpuState] = {}
    taken: list[tuple[Piece, int | None]] = []
    for p, pool in enumerate(pools):
        found = layout(pool)
        if found is None:
            continue
        here = [pick for pick in chosen if pick.pool == p]
        now = _occupied(found, uses.get(pool.id, NOTHING))
        before |= now
        after |= _with_picks(found, now, here)
        for pick in here:
            piece = found.pieces[pick.device]
            if piece and piece.units.keys() <= found.gpus.keys():
                shared = pick.consumed is not None
                taken.append((piece, _granted_mib(pool.devices[pick.device].raw, pick) if shared else None))
    granted = [_granted_mib(pools[pick.pool].devices[pick.device].raw, pick) for pick in chosen]
    asked = [asked_mib(pick, mib) for pick, mib in zip(chosen, granted, strict=True)]
    return Outcome(
        before=NodeState(gpus=before),
        after=NodeState(gpus=after),
        slots=tuple(sorted({slot for piece, _ in taken for slot in piece.units})),
        whole=tuple(sorted({slot for piece, _ in taken if piece.whole for slot in piece.units})),
        asked_mib=sum(asked),
        granted_mib=sum(granted),
        pod=pod_shape(taken),
    )


def pod_shape(
    taken: Iterable[tuple[Piece, int | None]], *, cpu_milli: int = 0, products: frozenset[str] = frozenset()
) -> PodShape:
    """The shape of a pod that takes these pieces; of a shared one so many MiB."""
    pieces = list(taken)
    shares = [1000 * mib // max(1, piece.memory_mib) for piece, mib in pieces if mib is not None]
    return PodShape(
        cpu_milli=cpu_milli,
        gpus=len({slot for piece, _ in pieces for slot in piece.units}),
        gpu_milli=max(shares) if pieces and len(shares) == len(pieces) else 1000,
        partition=max((piece.shape for piece, _ in pieces if piece.kind is DeviceKind.MIG), default=""),
        products=products,
    )


def asked_mib(pick: Pick, granted_mib: int) -> int:
    """What the request asked for, from its capacity or its selectors; where it says nothing, what it gets."""
    for name, value in pick.request.capacities:
        if name.rpartition("/")[2] == "memory":
            return int(value / MIB)
    found = [match[1] or match[2] for one in pick.request.own_selectors for match in _ASKED.finditer(one.expression)]
    return min(granted_mib, max(map(to_mib, found))) if found else granted_mib


def _granted_mib(device: Device, pick: Pick) -> int:
    if pick.consumed is not None:
        return int(next((value for name, value in pick.consumed if name.rpartition("/")[2] == "memory"), 0) / MIB)
    return to_mib(device.capacity["memory"].value) if "memory" in device.capacity else 0


def _occupied(found: Layout, use: PoolUse) -> Mapping[int, GpuState]:
    """GPUs with everything taken that is in use. Nobody changes it: equal machines in equal use share it."""
    return found.remembered(use.key, lambda: _occupied_now(found, use))


def _occupied_now(found: Layout, use: PoolUse) -> dict[int, GpuState]:
    taken: dict[int, set[int]] = {}
    shared: dict[int, int] = {}
    for name in (*use.whole, *use.shares):
        piece = found.pieces[found.by_name[name]] if name in found.by_name else None
        for slot, units in piece.units.items() if piece else ():
            taken.setdefault(slot, set()).update(units)
    for name, used in use.shares.items():
        _share(found, shared, found.by_name.get(name), used.get("memory", Decimal(0)))
    return {
        slot: found.gpu_with(slot, frozenset(taken[slot]), shared.get(slot)) if taken.get(slot) else gpu
        for slot, gpu in found.gpus.items()
    }


def _with_picks(found: Layout, now: Mapping[int, GpuState], picks: Iterable[Pick]) -> dict[int, GpuState]:
    """The same GPUs with what is picked taken too."""
    gpus = dict(now)
    for pick in picks:
        piece = found.pieces[pick.device]
        for slot, units in piece.units.items() if piece else ():
            if slot not in gpus or not units:
                continue
            free = gpus[slot].shared_free_mib
            if pick.consumed is not None:
                memory = int(dict(pick.consumed).get("memory", Decimal(0)) / MIB)
                free = max(0, (piece.memory_mib if piece and free is None else free or 0) - memory)
            gpus[slot] = found.gpu_with(slot, gpus[slot].taken | units, free)
    return gpus


def _share(found: Layout, shared: dict[int, int], index: int | None, used: Decimal) -> None:
    piece = found.pieces[index] if index is not None else None
    for slot in piece.units if piece else ():
        free = shared.get(slot, piece.memory_mib if piece else 0)
        shared[slot] = max(0, free - int(used / MIB))
