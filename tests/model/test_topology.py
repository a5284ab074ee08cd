"""Islands and groups of real machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.backends import catalog
from partita_plugins.model.gpu import GpuLink, PcieLevel
from partita_plugins.model.offer import groups
from partita_plugins.model.topology import Topology, links_from_matrix
from tests.model.conftest import slotted

EIGHT = dict.fromkeys(range(8), 0)
ISLANDS = {
    "dgx-1v": {0: 0, 1: 0, 2: 0, 3: 0, 4: 4, 5: 4, 6: 4, 7: 4},
    "dgx-2": dict.fromkeys(range(16), 0),
    "dgx-a100-40": EIGHT,
    "dgx-a100-80": EIGHT,
    "hgx-h100": EIGHT,
    "hgx-h200": EIGHT,
    "hgx-b200": EIGHT,
    "gb200-tray": dict.fromkeys(range(4), 0),
    "a100-pcie-x8": {0: 0, 5: 0, 1: 1, 2: 1, 3: 3, 4: 3, 6: 6, 7: 6},
    "a30-x4": {},
    "l40s-x8": {},
    "rtx-pro-6000-x8": {},
}

NEIGHBOURS = [(0, 1), (2, 3), (4, 5), (6, 7)]
QUADS = [(0, 1, 2, 3), (4, 5, 6, 7)]
PAIRS_AND_QUADS = {
    "dgx-1v": ([(0, 3), (1, 2), (4, 7), (5, 6)], QUADS),
    "dgx-2": ([(a, a + 1) for a in range(0, 16, 2)], [tuple(range(a, a + 4)) for a in range(0, 16, 4)]),
    "dgx-a100-40": (NEIGHBOURS, QUADS),
    "dgx-a100-80": (NEIGHBOURS, QUADS),
    "hgx-h100": (NEIGHBOURS, QUADS),
    "hgx-h200": (NEIGHBOURS, QUADS),
    "hgx-b200": (NEIGHBOURS, QUADS),
    "gb200-tray": ([(0, 1), (2, 3)], [(0, 1, 2, 3)]),
    "a100-pcie-x8": ([(0, 5), (1, 2), (3, 4), (6, 7)], None),
    "a30-x4": ([(0, 1), (2, 3)], [(0, 1, 2, 3)]),
    "l40s-x8": (NEIGHBOURS, QUADS),
    "rtx-pro-6000-x8": (NEIGHBOURS, QUADS),
}


def test_every_machine_is_covered() -> None:
    assert sorted(ISLANDS) == sorted(PAIRS_AND_QUADS) == catalog.names()


@pytest.mark.parametrize("name", catalog.names())
def test_islands_are_those_of_the_real_machine(name: str) -> None:
    node = slotted(name)
    assert node.topology.islands(node.slots) == ISLANDS[name]


def test_the_greatest_island_comes_first_and_leaves_the_rest_alone() -> None:
    """GPUs 1, 2 and 3 are a triangle; 0 hangs on 1, so it has no island of its own."""
    links = links_from_matrix(("X NV2 SYS SYS", "NV2 X NV1 NV1", "SYS NV1 X NV1", "SYS NV1 NV1 X"))
    topology = Topology({(link.a, link.b): (link.nvlinks, link.pcie) for link in links}, nvlink_gbps=25)
    assert topology.islands((0, 1, 2, 3)) == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("name", catalog.names())
def test_groups_pair_what_is_best_linked(name: str) -> None:
    node = slotted(name)
    found = list(groups(node.topology, node.slots))
    pairs, quads = PAIRS_AND_QUADS[name]
    assert [members for size, members in found if size == 2] == pairs
    if quads is not None:
        assert [members for size, members in found if size == 4] == quads


@pytest.mark.parametrize("name", catalog.names())
def test_groups_of_one_size_share_no_gpu_and_nest(name: str) -> None:
    node = slotted(name)
    found = list(groups(node.topology, node.slots))
    for size in (2, 4, 8):
        members = [one for of_size, one in found if of_size == size]
        assert len(members) == len(node.slots) // size
        assert all(len(one) == size for one in members)
        assert len({slot for one in members for slot in one}) == len(members) * size
    halves = [set(one) for size, one in found if size == 2]
    assert all(any(half <= set(one) for half in halves) for size, one in found if size > 2)


@pytest.mark.parametrize(
    ("name", "slots", "gbps"),
    [
        ("dgx-1v", (0, 3), 50.0),
        ("dgx-1v", (0, 1), 25.0),
        ("dgx-1v", (0, 7), 8.0),
        ("dgx-1v", (0, 1, 2, 3), 50.0),
        ("hgx-h100", (0, 7), 450.0),
        ("hgx-b200", (0, 1, 2, 3), 900.0),
        ("a100-pcie-x8", (0, 5), 300.0),
        ("a100-pcie-x8", (0, 1), 12.0),
        ("hgx-h100", (3,), 0.0),
    ],
)
def test_bandwidth_of_a_set_is_that_of_its_weakest_hop(name: str, slots: tuple[int, ...], gbps: float) -> None:
    assert slotted(name).topology.set_bandwidth_gbps(slots) == gbps


def test_a_matrix_is_read_cell_by_cell() -> None:
    assert links_from_matrix(("X NV12/NODE SYS", "NV12/NODE X PIX", "SYS PIX X")) == (
        GpuLink(a=0, b=1, nvlinks=12, pcie=PcieLevel.NUMA_NODE),
        GpuLink(a=0, b=2, nvlinks=0, pcie=PcieLevel.SYSTEM),
        GpuLink(a=1, b=2, nvlinks=0, pcie=PcieLevel.SINGLE_SWITCH),
    )
    assert links_from_matrix(("X NV18", "NV18 X"))[0].pcie is PcieLevel.SYSTEM


@given(st.permutations(range(8)), st.sampled_from(["dgx-1v", "a100-pcie-x8"]))
def test_bandwidth_belongs_to_gpus_not_to_slots(slots: list[int], name: str) -> None:
    """The same two GPUs have the same link, whatever slots they are given."""
    plain, moved = slotted(name), slotted(name, tuple(slots))
    for a in range(8):
        for b in range(a):
            assert moved.topology.link(slots[a], slots[b]) == plain.topology.link(a, b)
