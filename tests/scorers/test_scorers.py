"""Topology, memory, fragmentation and leftovers as scores and as words."""

from __future__ import annotations

import pytest

from partita_plugins.contracts import GpuState, NodeState, Outcome, Scorer, Workload
from partita_plugins.registry import load, names
from partita_plugins.scorers.fragmentation import FragmentationScorer
from partita_plugins.scorers.leftovers import LeftoversScorer
from partita_plugins.scorers.memory import MemoryScorer
from partita_plugins.scorers.topology import TopologyScorer
from partita_plugins.testing.contracts.scorer import ScorerContract
from partita_plugins.testing.states import mig_gpu, part, scored, shared_gpu, whole


@pytest.mark.parametrize("scorer", [load("partita.scorers", name)() for name in names("partita.scorers")])
class TestContract(ScorerContract):
    pass


@pytest.mark.parametrize("name", names("partita.scorers"))
def test_every_scorer_is_found_by_its_name(name: str) -> None:
    scorer: Scorer = load("partita.scorers", name)()
    assert scorer.name == name


def better(scorer: Scorer, first: Outcome, second: Outcome, workload: Workload | None = None) -> bool:
    one, other = scored(scorer, [first, second], workload)
    return one < other


def test_the_faster_set_wins() -> None:
    assert better(TopologyScorer(), whole("dgx-1v", 0, 3), whole("dgx-1v", 0, 1))


def test_of_equally_fast_sets_the_one_with_more_links_wins() -> None:
    """Both have a ring of single links; the first has two double ones in it."""
    assert better(TopologyScorer(), whole("dgx-1v", 0, 1, 2, 3), whole("dgx-1v", 0, 1, 4, 5))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (whole("hgx-h100", 4), "GPU 4"),
        (whole("hgx-h100", 4, 5), "GPUs 4 and 5 over NVLink (450 GB/s)"),
        (whole("dgx-1v", 0, 4, 5), "GPUs 0, 4 and 5 over NVLink in part (17 GB/s, 33 at best on this machine)"),
        (whole("l40s-x8", 0, 4), "GPUs 0 and 4 over PCIe (8 GB/s, 12 at best on this machine)"),
        (part(mig_gpu(), mig_gpu(0)), ""),
    ],
)
def test_topology_in_words(outcome: Outcome, words: str) -> None:
    assert TopologyScorer().explain(outcome) == words


def test_one_gpu_is_taken_where_no_nvlink_is_lost() -> None:
    assert better(LeftoversScorer(), whole("l40s-x8", 7), whole("hgx-h100", 7))


def test_a_gpu_whose_bridge_has_lost_its_other_end_goes_first() -> None:
    assert better(LeftoversScorer(), whole("a100-pcie-x8", 0, held=(5,)), whole("a100-pcie-x8", 0))


@pytest.mark.parametrize("held", [(), (0,), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5, 6)])
def test_machines_of_one_kind_whose_links_are_alike_leave_it_to_fragmentation(held: tuple[int, ...]) -> None:
    assert not better(LeftoversScorer(), whole("hgx-h100", 7, held=held), whole("hgx-h100", 7))
    assert not better(LeftoversScorer(), whole("hgx-h100", 7), whole("hgx-h100", 7, held=held))


def test_memory_waste() -> None:
    empty = NodeState(gpus={})
    tight, loose = (
        Outcome(before=empty, after=empty, slots=(), whole=(), asked_mib=10240, granted_mib=granted)
        for granted in (10240, 20480)
    )
    assert scored(MemoryScorer(), [tight, loose]) == [0, 10240]
    assert (MemoryScorer().explain(tight), MemoryScorer().explain(loose)) == ("", "10Gi more than asked")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (mig_gpu(0), "leaves 3g free on GPU 0"),
        (mig_gpu(*range(8)), "leaves nothing on GPU 0"),
        (shared_gpu(10240), "leaves 10Gi of GPU 0 to share"),
    ],
)
def test_fragmentation_in_words(after: GpuState, words: str) -> None:
    assert FragmentationScorer().explain(part(mig_gpu(), after)) == words
