"""What a placement costs the pods to come: MIG geometry, shares, CPU, sets of GPUs and rare products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.contracts import GpuState, NodeState, Outcome, PodShape, Workload
from partita_plugins.scorers.fragmentation import FragmentationScorer
from partita_plugins.scorers.fragmentation.demand import demand_of
from partita_plugins.scorers.fragmentation.fleet import FRAGMENTED, SETS, STRANDED, VALUE, Fleet, figures
from partita_plugins.scorers.fragmentation.packing import CELLS, best_values, prices
from partita_plugins.scorers.fragmentation.placements import covered, usable_milli
from partita_plugins.testing.states import A100_KINDS, mig_gpu, part, scored, shared_gpu

SCORER = FragmentationScorer()
ONE = PodShape(cpu_milli=8000, gpus=1)


def better(first: Outcome, second: Outcome, workload: Workload | None = None) -> bool:
    one, other = scored(SCORER, [first, second], workload)
    return one < other


def mixed(*counts: tuple[PodShape, int]) -> Workload:
    return Workload(counts)


def node(*left: int, cpu_milli: int | None = None, product: str = "") -> NodeState:
    """GPUs with so much left, in milli: 1000 is untouched."""
    gpus = {
        slot: GpuState(
            memory_mib=1000,
            taken=frozenset() if free == 1000 else frozenset({0}),
            shared_free_mib=free if 0 < free < 1000 else None,
            product=product,
        )
        for slot, free in enumerate(left)
    }
    return NodeState(gpus=gpus, cpu_milli=cpu_milli)


def taking(before: NodeState, slot: int, pod: PodShape) -> Outcome:
    """One GPU, or a share of it."""
    gpu = before.gpus[slot]
    free = (1000 if gpu.shared_free_mib is None else gpu.shared_free_mib) - pod.gpu_milli
    after = replace(gpu, taken=frozenset({0}), shared_free_mib=free if pod.gpu_milli < 1000 else None)
    cpu = None if before.cpu_milli is None else before.cpu_milli - pod.cpu_milli
    return Outcome(
        before=before,
        after=NodeState(gpus={**before.gpus, slot: after}, cpu_milli=cpu),
        slots=(slot,),
        whole=(slot,) if pod.gpu_milli == 1000 else (),
        asked_mib=0,
        granted_mib=0,
        pod=pod,
    )


def test_of_an_empty_gpu_no_placement_reaches_a_few_slices() -> None:
    """1g: slice 7; 2g: slices 6 and 7; 4g: the upper half."""
    assert usable_milli(A100_KINDS, 8, frozenset(range(8))) == 1000 * (40 - 1 - 2 - 4) / 40


@pytest.mark.parametrize(
    ("taken", "good", "bad"),
    [
        (set(), {6}, {0}),
        (set(), {4, 5, 6, 7}, {0, 1, 2, 3}),
        ({6}, {5}, {3}),
    ],
)
def test_placements_that_leave_more_are_better(taken: set[int], good: set[int], bad: set[int]) -> None:
    one, other = (part(mig_gpu(*taken), mig_gpu(*taken, *more)) for more in (good, bad))
    assert better(one, other)


def test_a_used_gpu_is_filled_before_a_fresh_one() -> None:
    assert better(part(mig_gpu(4, 5, 6), mig_gpu(3, 4, 5, 6)), part(mig_gpu(), mig_gpu(6)))


def test_without_history_a_share_joins_the_fullest_gpu_and_opens_a_new_one_last() -> None:
    full, half = part(shared_gpu(10240), shared_gpu(0)), part(shared_gpu(30720), shared_gpu(20480))
    fresh = part(shared_gpu(None), shared_gpu(30720))
    assert better(full, half)
    assert better(half, fresh)


def test_without_history_one_gpu_is_taken_where_fewest_are_left() -> None:
    assert better(taking(node(1000, 1000, 1000, 0), 0, ONE), taking(node(1000, 1000, 1000, 1000), 0, ONE))


def test_a_share_goes_where_the_rest_still_fits_what_is_asked_for() -> None:
    """Of 700 left, 300 leave room for one that is wanted; of 600 left, for none."""
    workload = mixed((PodShape(gpus=1, gpu_milli=300), 50), (PodShape(gpus=1, gpu_milli=400), 50))
    small = PodShape(gpus=1, gpu_milli=300)
    assert better(taking(node(700), 0, small), taking(node(500), 0, small), workload)
    assert better(taking(node(300), 0, small), taking(node(500), 0, small), workload)


def test_a_pod_that_needs_little_cpu_goes_where_little_is_left() -> None:
    workload = mixed((ONE, 100))
    light = replace(ONE, cpu_milli=1000)
    poor, rich = node(1000, 1000, cpu_milli=9000), node(1000, 1000, cpu_milli=64000)
    assert better(taking(poor, 0, light), taking(rich, 0, light), workload)


def test_eight_free_gpus_are_kept_while_pods_with_eight_are_expected() -> None:
    fresh, used = node(*[1000] * 8), node(*[1000] * 5, 0, 0, 0)
    mostly_large = mixed((PodShape(gpus=8), 40), (ONE, 60))
    assert better(taking(used, 0, ONE), taking(fresh, 0, ONE), mostly_large)
    assert not better(taking(used, 0, ONE), taking(fresh, 0, ONE), mixed((ONE, 100)))


def test_a_product_that_others_depend_on_is_left_to_them() -> None:
    workload = mixed((replace(ONE, products=frozenset({"rare"})), 50), (ONE, 50))
    common, rare = (taking(node(1000, 1000, product=name), 0, ONE) for name in ("common", "rare"))
    assert better(common, rare, workload)


def test_small_differences_leave_it_to_the_order_of_the_nodes() -> None:
    workload = mixed((PodShape(gpus=1, gpu_milli=500), 100))
    share = PodShape(gpus=1, gpu_milli=500)
    first, second = taking(node(1000, 1000), 0, share), taking(node(1000, 1000, 1000), 0, share)
    assert not better(first, second, workload)
    assert not better(second, first, workload)


@given(st.frozensets(st.integers(0, 7)))
def test_what_placements_use_is_free(free: frozenset[int]) -> None:
    assert all(covered(profile, free) <= free for profile in A100_KINDS)
    assert 0 <= usable_milli(A100_KINDS, 8, free) <= 1000 * len(free) / 8


@settings(max_examples=50)
@given(st.dictionaries(st.integers(1, 100), st.integers(1, 50), min_size=1, max_size=8))
def test_prices_are_those_of_the_best_packing(demand: dict[int, float]) -> None:
    """Never more than a GPU for what fits into one, and in sum between the volume and what first fit needs."""
    found = prices(demand)
    assert best_values(found)[CELLS] <= 1000 * (1 + 1e-6)
    worth = sum(found[size] * count for size, count in demand.items()) / 1000
    bins: list[int] = []
    for size in sorted((size for size, count in demand.items() for _ in range(int(count))), reverse=True):
        place = next((i for i, free in enumerate(bins) if free >= size), None)
        if place is None:
            bins.append(CELLS - size)
        else:
            bins[place] -= size
    volume = sum(size * count for size, count in demand.items()) / CELLS
    assert volume <= worth * (1 + 1e-6)
    assert worth <= len(bins) * (1 + 1e-6)


shapes = st.builds(
    PodShape,
    cpu_milli=st.sampled_from([0, 1000, 8000]),
    gpus=st.integers(0, 8),
    gpu_milli=st.sampled_from([1000, 1000, 300, 450]),
    products=st.sampled_from([frozenset(), frozenset({"a"}), frozenset({"a", "b"})]),
)
workloads = st.dictionaries(shapes, st.integers(1, 20), min_size=1, max_size=6).map(
    lambda found: Workload((*found.items(),))
)
fleets = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0, 300, 455, 700, 1000]), min_size=4, max_size=4),
        st.sampled_from([0, 5000, 100_000]),
        st.sampled_from(["a", "b", "c"]),
    ),
    min_size=1,
    max_size=4,
)


@given(workloads, fleets)
def test_figures_of_a_fleet_are_those_of_its_nodes_one_by_one(
    workload: Workload, fleet: list[tuple[list[int], int, str]]
) -> None:
    """Against the definition, written out."""
    demand = demand_of(workload)
    found = figures(
        Fleet(
            left=np.array([left for left, _, _ in fleet]),
            parted=np.zeros(len(fleet)),
            usable=np.array([1000.0 * left.count(1000) for left, _, _ in fleet]),
            cpu_milli=np.array([float(cpu) for _, cpu, _ in fleet]),
            product=np.array([demand.product(product) for _, _, product in fleet]),
        ),
        demand,
    )
    counts = {shape: count for shape, count in workload.counts if shape.gpus}
    for row, (left, cpu, product) in zip(found, fleet, strict=True):
        assert row[VALUE] == pytest.approx(sum(demand.value[free] for free in left))
        if not counts:
            continue
        assert row[STRANDED] == pytest.approx(max(0, sum(left) - lasts(workload, cpu)))
        for size, column in zip((2, 4, 8), row[SETS], strict=True):
            assert column == pytest.approx(in_sets(counts, size, left, cpu, product))
        if sum(workload.counts[i][1] for i in range(len(workload.counts))) == sum(counts.values()) and len(counts) == 1:
            [shape] = counts
            assert row[FRAGMENTED] == pytest.approx(sum(left) - usable(shape, left, cpu, product))


def lasts(workload: Workload, cpu: int) -> float:
    """Milli-GPU that the CPU lasts for."""
    asked = sum(shape.cpu_milli * count for shape, count in workload.counts)
    gpus = sum(shape.gpus * shape.gpu_milli * count for shape, count in workload.counts) / 1000
    return 1000 * cpu * gpus / asked if asked else float("inf")


def usable(shape: PodShape, left: list[int], cpu: int, product: str) -> float:
    """Milli-GPU that pods of one shape alone could have; a fraction of a pod counts."""
    if shape.products and product not in shape.products:
        return 0.0
    places = (
        left.count(1000) // shape.gpus if shape.gpu_milli == 1000 else sum(free // shape.gpu_milli for free in left)
    )
    pods = min(places, cpu / shape.cpu_milli) if shape.cpu_milli else places
    return pods * shape.gpus * shape.gpu_milli


def in_sets(counts: dict[PodShape, int], size: int, left: list[int], cpu: int, product: str) -> float:
    """Milli-GPU that pods with so many GPUs could have, on average over their shapes."""
    several = {shape: count for shape, count in counts.items() if shape.gpu_milli == 1000}
    some = {shape: count for shape, count in several.items() if size // 2 < shape.gpus <= size}
    found = 0.0
    for shape, count in some.items():
        pods = left.count(1000) // shape.gpus
        pods = min(pods, cpu // shape.cpu_milli) if shape.cpu_milli else pods
        allowed = not shape.products or product in shape.products
        found += allowed * count / sum(some.values()) * pods * shape.gpus * 1000
    return found
