"""Machines as data."""

from __future__ import annotations

import pytest

from partita_plugins.backends import catalog
from partita_plugins.backends.catalog.machines import MACHINES
from partita_plugins.errors import InvalidInput
from partita_plugins.model.gpu import PcieLevel


def test_uuids_follow_from_machine_and_seed_alone() -> None:
    assert catalog.machine("hgx-h100", seed="a") == catalog.machine("hgx-h100", seed="a")
    uuids = [
        gpu.uuid for name in catalog.names() for seed in ("a", "b") for gpu in catalog.machine(name, seed=seed).gpus
    ]
    assert len(set(uuids)) == len(uuids)


def test_an_unknown_machine_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidInput, match="hgx-h200"):
        catalog.machine("hgx-h300")


@pytest.mark.parametrize("name", catalog.names())
def test_a_machine_is_complete(name: str) -> None:
    """Addresses unique, one root and NUMA node each, every matrix symmetric."""
    spec = MACHINES[name]
    count = len(spec.buses)
    assert len(set(spec.buses)) == len(spec.roots) == len(spec.numa_nodes) == len(spec.matrix) == count
    cells = [row.split() for row in spec.matrix]
    assert [len(row) for row in cells] == [count] * count
    assert all(cells[a][b] == cells[b][a] for a in range(count) for b in range(count))
    assert [cells[i][i] for i in range(count)] == ["X"] * count


@pytest.mark.parametrize("name", catalog.names())
def test_gpus_that_share_a_numa_node_never_meet_above_it(name: str) -> None:
    spec, hardware = MACHINES[name], catalog.machine(name)
    for link in hardware.links:
        same_node = spec.numa_nodes[link.a] == spec.numa_nodes[link.b]
        assert (link.pcie is PcieLevel.SYSTEM) == (not same_node), link


@pytest.mark.parametrize(
    ("name", "count", "nvlinks"),
    [
        ("dgx-1v", 8, {0, 1, 2}),
        ("dgx-2", 16, {6}),
        ("dgx-a100-40", 8, {12}),
        ("hgx-h100", 8, {18}),
        ("hgx-b200", 8, {18}),
        ("gb200-tray", 4, {18}),
        ("a100-pcie-x8", 8, {0, 12}),
        ("a30-x4", 4, {0}),
        ("l40s-x8", 8, {0}),
    ],
)
def test_nvlinks_are_those_of_the_real_machine(name: str, count: int, nvlinks: set[int]) -> None:
    hardware = catalog.machine(name)
    assert len(hardware.gpus) == count
    assert {link.nvlinks for link in hardware.links} == nvlinks


@pytest.mark.parametrize("name", catalog.names())
def test_no_gpu_has_more_nvlinks_than_its_generation(name: str) -> None:
    """DGX-1V: each V100 spends exactly its six links."""
    if name != "dgx-1v":
        assert max(link.nvlinks for link in catalog.machine(name).links) <= 18
        return
    for index in range(8):
        assert sum(link.nvlinks for link in catalog.machine(name).links if index in (link.a, link.b)) == 6


@pytest.mark.parametrize(
    ("name", "profile", "profile_id", "size", "starts"),
    [
        ("hgx-h100", "3g.40gb", 9, 4, (0, 4)),
        ("hgx-h100", "7g.80gb", 0, 8, (0,)),
        ("hgx-h200", "1g.35gb", 15, 2, (0, 2, 4, 6)),
        ("hgx-b200", "1g.23gb", 19, 1, (0, 1, 2, 3, 4, 5, 6)),
        ("a30-x4", "1g.6gb", 14, 1, (0, 1, 2, 3)),
        ("rtx-pro-6000-x8", "2g.48gb", 5, 6, (0, 6)),
    ],
)
def test_profiles_are_the_real_ones_and_not_the_published_mocks(
    name: str, profile: str, profile_id: int, size: int, starts: tuple[int, ...]
) -> None:
    mig = catalog.machine(name).gpus[0].mig
    assert mig is not None
    found = next(one for one in mig.profiles if one.name == profile)
    assert (found.profile_id, found.size, found.starts) == (profile_id, size, starts)


@pytest.mark.parametrize("name", catalog.names())
def test_a_profiles_name_is_what_software_makes_of_its_size(name: str) -> None:
    """GB of the name = the GPU's whole GiB times eighths of its memory, rounded as go-nvlib does."""
    gpu = catalog.machine(name).gpus[0]
    for profile in gpu.mig.profiles if gpu.mig else ():
        eighths = -(-8 * profile.memory_mib // gpu.memory_mib)
        gib = int(eighths / 8 * -(-gpu.memory_mib // 1024) + 0.5)
        assert profile.name.split(".")[1].split("gb")[0] == str(gib), profile
