"""What a workload says of the pods to come: weights of their shapes, prices of their sizes, what is rare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from partita_plugins.contracts import Counts, Floats, PodShape, Workload
from partita_plugins.scorers.fragmentation.packing import CELL, best_values, prices

TYPICAL_SHARE = 0.95
"""Of all pods: the commonest shapes that make up so many are the typical ones, as in FGD."""

DEFAULT_SET_SHARE = 0.1
"""Of the GPU demand that each set size is taken to have while nothing is known."""

SET_SIZES = (2, 4, 8)
"""Sets of GPUs that are kept for those who need them; a pod with 3 GPUs counts among 4, one with 5 to 7 among 8."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Classes:
    """Some shapes as columns."""

    weight: Floats
    cpu_milli: Floats
    gpus: Counts
    capacity: Floats
    """[product, class] milli-GPU of one pod; 0 where it may not run. The last row is for products that nobody names."""

    shares: Counts
    """Columns of `fitting` for classes of shares; -1 for whole GPUs."""

    fitting: Counts
    """[free milli, size] how many shares of each size fit into one GPU."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Demand:
    """A workload, worked out."""

    products: tuple[str, ...]
    typical: Classes
    """Whole GPUs and shares, weights summing to 1 - partition_weight."""

    partition_weight: float
    """Share of partitions among pods with GPUs; 1 where nothing is known, so that kinds of devices count evenly."""

    sets: tuple[Classes, ...]
    """Pods of each of SET_SIZES, weights summing to 1 within."""

    set_shares: Floats
    """Share of the GPU demand that each of SET_SIZES has."""

    restricted: tuple[tuple[NDArray[np.bool_], float], ...]
    """Sets of products that pods restrict themselves to, with their share of the GPU demand."""

    cpu_per_gpu: float
    """Milli-CPU requested for each GPU requested, pods without GPUs included; 0 where nothing is known."""

    value: Floats
    """Of 0 to 1000 free milli of one GPU, by the prices of the sizes in demand."""

    price: dict[int, float]

    def product(self, name: str) -> int:
        """The column of a product."""
        return self.products.index(name) if name in self.products else len(self.products)

    def price_of(self, gpu_milli: int) -> float:
        """What a share of that size is worth. One that nobody asked for: the least that it can take from a GPU."""
        known = self.price.get(-(-gpu_milli // CELL))
        return known if known is not None else float(np.min(self.value[gpu_milli:] - self.value[: 1001 - gpu_milli]))


@lru_cache(maxsize=8)
def demand_of(workload: Workload) -> Demand:
    """The demand that a workload lets expect."""
    counts = Counter[PodShape]()
    for shape, count in workload.counts:
        counts[shape] += count
    wanting = {shape: count for shape, count in counts.items() if shape.gpus}
    plain = {shape: count for shape, count in wanting.items() if not shape.partition}
    products = tuple(sorted({name for shape in wanting for name in shape.products}))
    total = sum(count * milli(shape) for shape, count in wanting.items())
    if not wanting:
        return _nothing_known()
    parted = sum(wanting.values()) - sum(plain.values())
    weight = parted / sum(wanting.values())
    price = prices(_cells(plain))
    sets = [{shape: count for shape, count in plain.items() if set_size(shape) == size} for size in SET_SIZES]
    return Demand(
        products=products,
        typical=_classes(_typical(counts), products, 1.0 - weight),
        partition_weight=weight,
        sets=tuple(_classes(some, products, 1.0) for some in sets),
        set_shares=np.array([_share(some, total) for some in sets]),
        restricted=_restricted(plain, products, total),
        cpu_per_gpu=1000 * sum(n * shape.cpu_milli for shape, n in counts.items()) / total,
        value=best_values(price)[np.arange(1001) // CELL] if price else np.arange(1001.0),
        price=price,
    )


def _nothing_known() -> Demand:
    """All kinds of devices that a GPU offers are as likely, and a few pods want several whole GPUs."""
    sets = tuple(_classes({PodShape(gpus=size): 1}, (), 1.0) for size in SET_SIZES)
    return Demand(
        products=(),
        typical=_classes({}, (), 0.0),
        partition_weight=1.0,
        sets=sets,
        set_shares=np.full(len(SET_SIZES), DEFAULT_SET_SHARE),
        restricted=(),
        cpu_per_gpu=0.0,
        value=np.arange(1001.0),
        price={},
    )


def milli(shape: PodShape) -> int:
    """GPU demand of one pod. A partition's is that of its GPU: how much it really is depends on the GPU."""
    return shape.gpus * (1000 if shape.partition else shape.gpu_milli)


def set_size(shape: PodShape) -> int:
    """The set that a pod counts among; 0 for fewer than two whole GPUs or more than eight."""
    several = 1 < shape.gpus <= SET_SIZES[-1] and shape.gpu_milli == 1000
    return next(size for size in SET_SIZES if shape.gpus <= size) if several else 0


def _typical(counts: Counter[PodShape]) -> dict[PodShape, int]:
    """The commonest shapes, until they are 95% of all pods; then those among them that are whole GPUs or shares."""
    kept: dict[PodShape, int] = {}
    enough, seen = TYPICAL_SHARE * sum(counts.values()), 0
    for shape, count in sorted(counts.items(), key=_commonest):
        if seen >= enough:
            break
        kept[shape] = count
        seen += count
    return {shape: count for shape, count in kept.items() if shape.gpus and not shape.partition}


def _commonest(item: tuple[PodShape, int]) -> tuple[object, ...]:
    shape, count = item
    return (-count, -shape.cpu_milli, -shape.gpu_milli, -shape.gpus, shape.partition, sorted(shape.products))


def _classes(counts: dict[PodShape, int], products: tuple[str, ...], weight: float) -> Classes:
    total = sum(counts.values())
    sizes = sorted({shape.gpu_milli for shape in counts if shape.gpu_milli < 1000})
    return Classes(
        weight=_column(counts, lambda shape: weight * counts[shape] / total),
        cpu_milli=_column(counts, lambda shape: float(shape.cpu_milli)),
        gpus=_column(counts, lambda shape: float(shape.gpus)).astype(np.int64),
        capacity=np.array(
            [
                [milli(shape) * (not shape.products or name in shape.products) for shape in counts]
                for name in (*products, "")
            ],
            dtype=float,
        ),
        shares=_column(counts, lambda shape: sizes.index(shape.gpu_milli) if shape.gpu_milli in sizes else -1.0).astype(
            np.int64
        ),
        fitting=np.arange(1001)[:, None] // np.array(sizes, dtype=np.int64),
    )


def _column(shapes: Iterable[PodShape], value: Callable[[PodShape], float]) -> Floats:
    return np.array([value(shape) for shape in shapes], dtype=float)


def _cells(counts: dict[PodShape, int]) -> dict[int, float]:
    found = Counter[int]()
    for shape, count in counts.items():
        found[-(-shape.gpu_milli // CELL)] += count * shape.gpus
    return dict(found)


def _share(counts: dict[PodShape, int], total: int) -> float:
    return sum(count * milli(shape) for shape, count in counts.items()) / total if total else 0.0


def _restricted(
    counts: dict[PodShape, int], products: tuple[str, ...], total: int
) -> tuple[tuple[NDArray[np.bool_], float], ...]:
    found = Counter[frozenset[str]]()
    for shape, count in counts.items():
        if shape.products:
            found[shape.products] += count * milli(shape)
    return tuple(
        (np.array([name in allowed for name in (*products, "")]), demand / total)
        for allowed, demand in sorted(found.items(), key=lambda item: sorted(item[0]))
    )
