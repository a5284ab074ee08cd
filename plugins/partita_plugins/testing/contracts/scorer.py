"""Contract of Scorer: pure, in two steps that fit together, indifferent to order, and brief in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from partita_plugins.backends.catalog import names
from partita_plugins.contracts import Outcome, PodShape, Scorer, Workload
from partita_plugins.testing.states import mig_gpu, nothing, part, scored, shared_gpu, whole

WORKLOADS = (
    Workload(),
    Workload(((PodShape(cpu_milli=4000, gpus=1), 1),)),
    Workload(
        (
            (PodShape(cpu_milli=8000), 10),
            (PodShape(cpu_milli=4000, gpus=1, gpu_milli=300), 50),
            (PodShape(cpu_milli=4000, gpus=2, products=frozenset({"NVIDIA L40S"})), 30),
            (PodShape(cpu_milli=1000, gpus=1, partition="3g"), 20),
            (PodShape(gpus=16), 1),
        )
    ),
)
"""Nothing known, one pod, and something of everything."""


@lru_cache(maxsize=1)
def outcomes() -> tuple[Outcome, ...]:
    """Every kind: whole GPUs on every machine, partitions, shares, a node that has nothing of ours."""
    return (
        *(whole(name, 0) for name in names()),
        *(whole(name, 1, 2, held=(0,)) for name in names()),
        part(mig_gpu(), mig_gpu(6)),
        part(mig_gpu(6), mig_gpu(6, 5)),
        part(shared_gpu(None), shared_gpu(30720)),
        part(shared_gpu(30720), shared_gpu(0)),
        nothing(),
    )


class ScorerContract:
    """Supply `scorer`."""

    def test_figures_are_finite_and_always_equally_many(self, scorer: Scorer) -> None:
        found = [scorer.measure(outcomes(), workload) for workload in WORKLOADS]
        assert len({figures.shape for figures in found}) == 1
        assert all(len(figures) == len(outcomes()) and np.isfinite(figures).all() for figures in found)

    def test_equal_arguments_give_equal_answers(self, scorer: Scorer) -> None:
        for workload in WORKLOADS:
            again = scorer.measure(outcomes(), workload).tolist()
            assert scorer.measure(outcomes(), workload).tolist() == again
            assert scored(scorer, outcomes(), workload) == scored(scorer, outcomes(), workload)

    def test_a_nodes_figures_do_not_depend_on_the_nodes_beside_it(self, scorer: Scorer) -> None:
        for workload in WORKLOADS:
            alone = [scorer.measure([outcome], workload)[0].tolist() for outcome in outcomes()]
            assert scorer.measure(outcomes(), workload).tolist() == alone

    def test_cpu_matters_only_to_a_scorer_that_says_so(self, scorer: Scorer) -> None:
        if scorer.counts_cpu:
            return
        for workload in WORKLOADS:
            plenty = [_with_cpu(outcome, 64_000) for outcome in outcomes()]
            assert scorer.measure(plenty, workload).tolist() == scorer.measure(outcomes(), workload).tolist()

    def test_the_order_of_the_candidates_does_not_matter(self, scorer: Scorer) -> None:
        for workload in WORKLOADS:
            forward = scored(scorer, outcomes(), workload)
            _same(scored(scorer, outcomes()[::-1], workload)[::-1], forward)

    def test_nodes_alike_count_as_if_each_had_a_row(self, scorer: Scorer) -> None:
        for workload in WORKLOADS:
            figures = scorer.measure(outcomes(), workload)
            thrice = np.full(len(figures), 3, dtype=np.int64)
            each = np.ones(3 * len(figures), dtype=np.int64)
            apart = scorer.score(np.concatenate([figures] * 3), each, workload)
            _same(scorer.score(figures, thrice, workload).tolist(), apart.tolist()[: len(figures)])

    def test_one_candidate_has_a_score_too(self, scorer: Scorer) -> None:
        for outcome in outcomes():
            [score] = scored(scorer, [outcome])
            assert math.isfinite(score)

    def test_words_are_one_clause(self, scorer: Scorer) -> None:
        for outcome in outcomes():
            words = scorer.explain(outcome)
            assert len(words) < 200
            assert not set(words) & set("\n;")
        assert scorer.explain(nothing()) == ""


def _with_cpu(outcome: Outcome, milli: int) -> Outcome:
    before, after = replace(outcome.before, cpu_milli=milli), replace(outcome.after, cpu_milli=milli // 2)
    return replace(outcome, before=before, after=after)


def _same(found: Sequence[float], expected: Sequence[float]) -> None:
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-6), (found, expected)
