"""Topology, memory and fragmentation as scores and as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.contracts import GpuState, NodeState, Outcome, ProfileShape, Scorer
from partita_plugins.registry import load
from partita_plugins.scorers.fragmentation import FragmentationScorer, covered, fragmentation, unusable
from partita_plugins.scorers.leftovers import LeftoversScorer
from partita_plugins.scorers.memory import MemoryScorer
from partita_plugins.scorers.topology import TopologyScorer
from partita_plugins.testing.states import whole

A100 = (
    ProfileShape(shape="7g", starts=(0,), size=8),
    ProfileShape(shape="4g", starts=(0,), size=4),
    ProfileShape(shape="3g", starts=(0, 4), size=4),
    ProfileShape(shape="2g", starts=(0, 2, 4), size=2),
    ProfileShape(shape="1g", starts=tuple(range(7)), size=1),
)


def part(before: GpuState, after: GpuState) -> Outcome:
    states = NodeState(gpus={0: before}), NodeState(gpus={0: after})
    return Outcome(before=states[0], after=states[1], slots=(0,), whole=(), asked_mib=10, granted_mib=10)


def mig(*taken: int) -> GpuState:
    return GpuState(memory_mib=40960, profiles=A100, units=8, taken=frozenset(taken))


def test_a_faster_set_wins_whatever_it_leaves() -> None:
    fast, slow = whole("dgx-1v", 0, 3), whole("dgx-1v", 0, 1)
    assert TopologyScorer().score(fast) < TopologyScorer().score(slow)


def test_equally_fast_sets_differ_by_what_they_leave() -> None:
    """A pair from a machine of eight costs more links than the last pair of another."""
    rest = frozenset(range(6))
    late, early = whole("hgx-h100", 6, 7, held=rest), whole("hgx-h100", 6, 7)
    assert TopologyScorer().score(late) == TopologyScorer().score(early)
    assert LeftoversScorer().score(late) < LeftoversScorer().score(early)


def test_one_gpu_is_taken_where_no_nvlink_is_lost() -> None:
    assert LeftoversScorer().score(whole("l40s-x8", 7)) < LeftoversScorer().score(whole("hgx-h100", 7))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (whole("hgx-h100", 4), "GPU 4"),
        (whole("hgx-h100", 4, 5), "GPUs 4 and 5 over NVLink (450 GB/s)"),
        (whole("l40s-x8", 0, 4), "GPUs 0 and 4 over PCIe (8 GB/s, 12 at best on this machine)"),
        (part(mig(), mig(0)), ""),
    ],
)
def test_topology_in_words(outcome: Outcome, words: str) -> None:
    assert TopologyScorer().explain(outcome) == words


def test_the_odd_gpu_goes_first_but_not_before_one_that_never_has_nvlink() -> None:
    odd = whole("hgx-h100", 7, held=range(6, 7))
    assert LeftoversScorer().score(odd) < LeftoversScorer().score(whole("hgx-h100", 7))
    assert LeftoversScorer().score(whole("l40s-x8", 7)) < LeftoversScorer().score(odd)


def test_memory_waste() -> None:
    empty = NodeState(gpus={})
    tight, loose = (
        Outcome(before=empty, after=empty, slots=(), whole=(), asked_mib=10240, granted_mib=granted)
        for granted in (10240, 20480)
    )
    assert MemoryScorer().score(tight) == 0 < MemoryScorer().score(loose)
    assert (MemoryScorer().explain(tight), MemoryScorer().explain(loose)) == ("", "10Gi more than asked")


def test_fragmentation_of_an_empty_gpu_is_what_no_placement_reaches() -> None:
    """1g: slice 7; 2g: slices 6 and 7; 4g: the upper half."""
    assert fragmentation(mig()) == 1 + 2 + 0 + 4 + 0


@pytest.mark.parametrize(
    ("taken", "better", "worse"),
    [
        (set(), {6}, {0}),
        (set(), {4, 5, 6, 7}, {0, 1, 2, 3}),
        ({6}, {5}, {3}),
    ],
)
def test_placements_that_leave_more_are_better(taken: set[int], better: set[int], worse: set[int]) -> None:
    scorer = FragmentationScorer()
    good, bad = (scorer.score(part(mig(*taken), mig(*taken, *more))) for more in (better, worse))
    assert good < bad


def test_a_used_gpu_is_filled_before_a_fresh_one() -> None:
    scorer = FragmentationScorer()
    assert scorer.score(part(mig(4, 5, 6), mig(3, 4, 5, 6))) < scorer.score(part(mig(), mig(6)))


def sharing(free_mib: int | None) -> GpuState:
    taken = frozenset() if free_mib is None else frozenset(range(8))
    return GpuState(memory_mib=40960, profiles=A100, units=8, taken=taken, shared_free_mib=free_mib)


def test_sharing_joins_the_fullest_shared_gpu_and_opens_a_new_one_last() -> None:
    scorer = FragmentationScorer()
    full = scorer.score(part(sharing(10240), sharing(0)))
    half = scorer.score(part(sharing(30720), sharing(20480)))
    fresh = scorer.score(part(sharing(None), sharing(30720)))
    assert full < half < 0 < fresh


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (mig(0), "leaves 3g free on GPU 0"),
        (mig(*range(8)), "leaves nothing on GPU 0"),
        (sharing(10240), "leaves 10Gi of GPU 0 to share"),
    ],
)
def test_fragmentation_in_words(after: GpuState, words: str) -> None:
    assert FragmentationScorer().explain(part(mig(), after)) == words


@given(st.frozensets(st.integers(0, 7)))
def test_unusable_units_are_free_ones(free: frozenset[int]) -> None:
    assert all(covered(profile, free) <= free for profile in A100)
    assert 0 <= unusable(A100, free) <= len(A100) * len(free)


@pytest.mark.parametrize("name", ["topology", "memory", "fragmentation", "leftovers"])
def test_every_scorer_is_found_by_name_and_takes_a_node_without_gpus(name: str) -> None:
    scorer: Scorer = load("partita.scorers", name)()
    empty = NodeState(gpus={})
    nothing = Outcome(before=empty, after=empty, slots=(), whole=(), asked_mib=0, granted_mib=0)
    assert scorer.name == name
    assert (scorer.score(nothing), scorer.explain(nothing)) == (0, "")
