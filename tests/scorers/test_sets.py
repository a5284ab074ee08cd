"""What sets of GPUs are worth: against brute force, and level by level on large machines."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.backends.catalog import machine, names
from partita_plugins.scorers.levels import LevelSets
from partita_plugins.scorers.links import Matrix, matrix, rows
from partita_plugins.scorers.masks import places
from partita_plugins.scorers.sets import SetTable, best_set, sets_of, worth_of
from partita_plugins.testing.states import node_state, whole
from tests.scorers.force import packed_by_force, worth_by_force

SMALL = [name for name in names() if len(machine(name).gpus) <= 8]
SPEEDS = (8.0, 12.0, 24.0, 25.0, 50.0)


@st.composite
def meshes(draw: st.DrawFn, most: int = 6) -> Matrix:
    """Any machine: every hop of any speed."""
    count = draw(st.integers(2, most))
    hops = {pair: draw(st.sampled_from(SPEEDS)) for pair in combinations(range(count), 2)}
    return tuple(tuple(hops[min(a, b), max(a, b)] if a != b else 0.0 for b in range(count)) for a in range(count))


@st.composite
def trees_of_switches(draw: st.DrawFn) -> Matrix:
    """A machine of blocks within blocks, twelve GPUs or more, in any order."""
    inner, outer = draw(st.sampled_from([(2, 4), (2, 8), (4, 8), (3, 6), (4, 16)]))
    count = draw(st.integers(12, 16))
    places = draw(st.permutations(range(count)))
    near, far, farthest = sorted(draw(st.lists(st.sampled_from(SPEEDS), min_size=3, max_size=3)), reverse=True)

    def hop(a: int, b: int) -> float:
        if a == b:
            return 0.0
        return near if a // inner == b // inner else far if a // outer == b // outer else farthest

    return tuple(tuple(hop(a, b) for b in places) for a in places)


@pytest.mark.parametrize("name", SMALL)
def test_every_set_of_a_machine_is_worth_what_brute_force_finds(name: str) -> None:
    gbps = matrix(rows(node_state(name)))
    table = SetTable(gbps)
    for mask in range(1, 1 << len(gbps)):
        expected = worth_by_force(gbps, tuple(places(mask))) if mask.bit_count() > 1 else (0.0, 0.0)
        assert table.worth(mask) == expected


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("held", [(), (0,), (1, 6), (0, 2, 5)])
def test_no_free_set_is_worth_more_than_the_best(name: str, held: tuple[int, ...]) -> None:
    links = rows(node_state(name))
    free = [slot for slot in range(len(links)) if slot not in held]
    for size in range(2, len(free) + 1):
        found = best_set(links, free, size)
        assert len(set(found.slots) & set(free)) == size
        assert found.worth == max(worth_of(links, members) for members in combinations(free, size))


@given(meshes())
def test_any_small_machine_is_as_brute_force_finds_it(gbps: Matrix) -> None:
    table, everyone = SetTable(gbps), tuple(range(len(gbps)))
    assert table.worth((1 << len(gbps)) - 1) == worth_by_force(gbps, everyone)
    assert table.left((1 << len(gbps)) - 1) == sum(packed_by_force(gbps, everyone, size) for size in (2, 4, 8))


@settings(max_examples=30)
@given(meshes(most=7))
def test_levels_find_the_trees_and_rings_that_the_table_finds(gbps: Matrix) -> None:
    table, levels = SetTable(gbps), LevelSets(gbps)
    for mask in range(1 << len(gbps)):
        assert levels.worth(mask).gbps == table.worth(mask).gbps


@settings(max_examples=15)
@given(trees_of_switches(), st.integers(2, 5))
def test_the_best_set_of_a_large_machine_is_that_of_brute_force(gbps: Matrix, size: int) -> None:
    levels = LevelSets(gbps)
    found = levels.best((1 << len(gbps)) - 1, size)
    assert found.bit_count() == size
    assert levels.worth(found).gbps == max(
        levels.worth(sum(1 << v for v in members)).gbps for members in combinations(range(len(gbps)), size)
    )


@settings(max_examples=50)
@given(meshes(most=8), st.data())
def test_what_is_taken_never_adds_to_what_is_left(gbps: Matrix, data: st.DataObject) -> None:
    free = data.draw(st.integers(1, (1 << len(gbps)) - 1))
    for sets in (SetTable(gbps), LevelSets(gbps)):
        assert all(sets.left(free & ~(1 << place)) <= sets.left(free) for place in places(free))


def test_a_set_without_a_ring_of_nvlink_counts_its_tree() -> None:
    """GPUs 0, 4 and 5 of a DGX-1V: 0-4 and 4-5 over NVLink, 0-5 across sockets."""
    links = rows(node_state("dgx-1v"))
    assert worth_of(links, (0, 4, 5)).gbps == 25 * 2 / 3
    assert worth_of(links, (0, 3)).gbps == 50


def test_of_equal_sets_the_one_that_leaves_most_is_taken() -> None:
    """One GPU whose bridge has nobody at its other end before one of a bridged pair."""
    links = rows(node_state("a100-pcie-x8"))
    assert best_set(links, (1, 2, 3, 4, 0), 1).slots == (0,)
    assert best_set(links, (0, 1), 3).slots == ()


def test_the_odd_gpu_of_a_pair_costs_nothing() -> None:
    sets = sets_of(rows(node_state("hgx-h100")))
    assert sets.left(0b11111111) > sets.left(0b1111111) == sets.left(0b111111)


def test_a_lost_gpu_leaves_no_gap() -> None:
    outcome = whole("dgx-1v", 0, 3)
    links = tuple(row for row in rows(outcome.before) if row[0] != 1)
    assert worth_of(links, (0, 3)).gbps == 50
