"""What allocations tell of the pods to come."""

from __future__ import annotations

import threading

import pytest

from partita_plugins.contracts import PodShape, Workload
from partita_plugins.model.offer import Offer
from partita_plugins.scorers.history import FIRST, KEPT, MAX_SHAPES, History
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.learning.claim_shapes import products_of, shape_of
from partita_scheduler.learning.learner import Learner
from partita_scheduler.policy.decision import decide
from partita_scheduler.scoring.ranking import Scoring
from tests.scheduler.decision.fleet import allocated, claim, exactly, pod, selected, slices, view, with_claims
from tests.scheduler.edge.fakes import FixedSource

EVERYTHING = Offer(mig_shapes=frozenset({"1g", "3g"}), shared=True, group_sizes=frozenset({2}))
FLEET = view({"h100": slices("h100", "hgx-h100", EVERYTHING), "l40s": slices("l40s", "l40s-x8", Offer())})
H100 = "NVIDIA H100 80GB HBM3"


def placed(asked: ResourceClaim, node: str = "h100") -> ResourceClaim:
    found = decide(with_claims(FLEET, asked), pod(asked.metadata.name), [node]).verdicts[node]
    assert found.allocations is not None, found.reasons
    return allocated(asked, found.allocations[asked.metadata.name])


@pytest.mark.parametrize(
    ("request_", "shape"),
    [
        (exactly(count=3), PodShape(gpus=3)),
        (exactly(kind="mig-3g"), PodShape(gpus=1, partition="3g", products=frozenset({H100}))),
        (
            exactly(kind="shared", capacity={"requests": {"memory": "20Gi"}}),
            PodShape(gpus=1, gpu_milli=251, products=frozenset({H100})),
        ),
        (exactly(kind="pair"), PodShape(gpus=2, products=frozenset({H100}))),
    ],
)
def test_a_claim_is_known_by_what_it_holds(request_: dict[str, object], shape: PodShape) -> None:
    assert shape_of(FLEET, placed(claim("c", request_))) == shape


def test_a_selector_tells_which_products_would_do() -> None:
    fast = selected('device.attributes["gpu.partita.dev"].product.contains("H100")')
    assert products_of(FLEET, claim("c", exactly(selectors=fast))) == {H100}
    assert products_of(FLEET, claim("c", exactly())) == frozenset()


def test_what_is_not_ours_or_not_known_teaches_nothing() -> None:
    held = placed(claim("c", exactly()))
    assert shape_of(FLEET, claim("c", exactly())) is None
    assert shape_of(view({}), held) is None


def test_each_allocation_counts_once_and_the_first_64_teach() -> None:
    told: list[Workload] = []
    learner = Learner(lambda: FixedSource(FLEET), listener=told.append)
    open_, held = claim("c", exactly()), placed(claim("c", exactly()))
    for _ in range(FIRST - 1):
        learner.claim_changed(open_, held)
        learner.claim_changed(held, held)
        learner.claim_changed(held, None)
    learner.step()
    assert told == []
    learner.claim_changed(None, held)
    learner.step()
    assert told == [Workload(((PodShape(gpus=1), FIRST),))]
    assert learner.expecting(FLEET).workload == told[0]


def test_allocations_wait_until_the_view_is_complete() -> None:
    learned, source = threading.Event(), FixedSource(FLEET, why_not="not_synced")
    learner = Learner(lambda: source, listener=lambda _: learned.set())
    held = placed(claim("c", exactly()))
    for _ in range(FIRST):
        learner.claim_changed(None, held)
    stopping = threading.Event()
    thread = threading.Thread(target=learner.run, args=(stopping,))
    thread.start()
    assert not learned.is_set()
    source.why_not = ""
    assert learned.wait(10)
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def test_explanations_see_what_the_answers_were_judged_by() -> None:
    scoring = Scoring(((("memory", 1.0),),))
    assert Learner(lambda: FixedSource(FLEET), scoring=scoring).expecting(FLEET).scoring == scoring


def test_a_workload_stays_the_same_until_the_pods_have_doubled() -> None:
    history = History()
    seen: list[Workload] = []
    for number in range(300):
        history.saw(PodShape(gpus=1 + number % 2))
        if not seen or seen[-1] is not history.workload:
            seen.append(history.workload)
    assert [sum(count for _, count in one.counts) for one in seen] == [0, 64, 128, 256]


def test_what_is_long_ago_fades_and_rare_shapes_are_forgotten() -> None:
    history = History()
    for _ in range(KEPT):
        history.saw(PodShape(gpus=1))
    for number in range(KEPT):
        history.saw(PodShape(gpus=2, cpu_milli=number % (2 * MAX_SHAPES)))
    counts = dict(history.workload.counts)
    assert len(counts) <= MAX_SHAPES
    assert counts[PodShape(gpus=1)] <= KEPT // 2
