"""What hack/bench validate reckons with: the field's methods on a simulated GPU, faults, and the law of coverage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import pytest
from hack.benchmarks.validation.law import Law, binomial_interval, false_alarms, idle, law
from hack.benchmarks.validation.paced import WHOLE_SECONDS, Paced
from hack.benchmarks.validation.planted import CLASSES, place_of
from hack.benchmarks.validation.rig import METHODS, Rig, rig

from partita_plugins.backends.simulated import Fault, FaultyMultiprocessor, StuckBit, StuckLine
from partita_plugins.contracts import Depth, ValidationResult

WORDS = 2**19
GPU = "a30-x4"
BEYOND_VECTORS = 3 * 50_000
"""First word that no vector of vector-add's has."""


@pytest.fixture(scope="module")
def gpu() -> Iterator[Rig]:
    with rig(GPU, WORDS) as made:
        yield made


@pytest.fixture(scope="module")
def memory() -> Iterator[Rig]:
    with rig(GPU, WORDS, rounds=0) as made:
        yield made


def finders(gpu: Rig, fault: Fault) -> set[str]:
    with gpu.broken(fault):
        return {method for method in METHODS if gpu.look(method, 7).found}


def faulty(gpu: Rig, effect: str) -> Fault:
    return FaultyMultiprocessor(gpu_uuid=gpu.part.gpu_uuid, effect=effect, multiprocessor=9)  # type: ignore[arg-type]


def bit(gpu: Rig, word: int) -> Fault:
    """The sign of any number that is not negative."""
    return StuckBit(gpu_uuid=gpu.part.gpu_uuid, word=word, bit=31)


def test_nothing_is_found_in_a_sound_gpu_and_each_method_tells_what_it_touched(gpu: Rig) -> None:
    looked = {method: gpu.look(method, 7) for method in METHODS}
    assert not any(outcome.found for outcome in looked.values())
    assert looked["partita"].coverage == 1.0
    assert looked["vector-add"].coverage == pytest.approx(BEYOND_VECTORS / WORDS)
    assert looked["isfinite"].coverage == pytest.approx(1024 / WORDS)
    assert 0.88 < looked["epsilon"].coverage <= 0.9


def test_a_bit_is_found_by_who_reads_its_word_and_knows_the_answer(gpu: Rig) -> None:
    assert finders(gpu, bit(gpu, 2)) == {"partita", "vector-add", "epsilon"}
    assert finders(gpu, bit(gpu, BEYOND_VECTORS)) == {"partita", "epsilon"}
    assert finders(gpu, bit(gpu, WORDS - 1)) == {"partita"}


def test_a_stuck_line_gives_gpu_burn_the_same_product_everywhere(gpu: Rig) -> None:
    assert finders(gpu, StuckLine(gpu_uuid=gpu.part.gpu_uuid, line=18)) == {"partita"}
    assert finders(gpu, StuckLine(gpu_uuid=gpu.part.gpu_uuid, line=12)) == {"partita", "vector-add"}


def test_no_number_is_no_difference_and_a_low_bit_is_within_every_tolerance_but_gpu_burn_s(gpu: Rig) -> None:
    assert finders(gpu, faulty(gpu, "nan")) == {"partita"}
    assert finders(gpu, faulty(gpu, "low-bit")) == {"partita", "epsilon"}
    assert finders(gpu, faulty(gpu, "wrong-bit")) == {"partita", "vector-add", "epsilon"}
    assert finders(gpu, faulty(gpu, "swapped-lanes")) == {"partita", "epsilon"}


@pytest.mark.parametrize("name", CLASSES)
def test_a_seed_plants_the_same_fault_again_and_others_elsewhere(memory: Rig, name: str) -> None:
    planted = [place_of(CLASSES[name](Random(seed), memory.part)) for seed in (*range(40), 0)]
    assert planted[0] == planted[-1]
    assert len(set(planted)) > 1


@pytest.mark.parametrize(("depth", "least", "most"), [(Depth.FULL, 0.3, 0.4), (Depth.QUICK, 0.03, 0.13)])
def test_part_of_the_memory_finds_part_of_the_faults_and_says_so(
    memory: Rig, depth: Depth, least: float, most: float
) -> None:
    found = law(memory, depth, 0.5, range(12))
    assert least < found.coverage <= most
    assert found.holds
    assert found.found < found.faults


def test_what_a_sound_gpu_is_said_to_have_is_a_false_alarm(memory: Rig) -> None:
    assert false_alarms(memory, 0.3, range(6)) == 0
    with memory.broken(bit(memory, 5)):
        assert false_alarms(memory, 0.3, range(1)) == 1


@pytest.mark.parametrize("line", [9, 14, 17])
def test_a_stuck_line_that_lies_in_what_was_covered_is_found_though_there_was_no_time_for_all(
    memory: Rig, line: int
) -> None:
    def look() -> ValidationResult:
        device = memory.device(memory.kernels, Paced)
        return memory.validate(device, 7, budget_seconds=0.9 * WHOLE_SECONDS, clock=device.clock)

    with memory.broken(StuckLine(gpu_uuid=memory.part.gpu_uuid, line=line)):
        assert not look().passed
    assert 0.6 < look().memory_coverage < 0.9


def test_looks_while_idle_cover_all_of_the_memory(memory: Rig) -> None:
    found = idle(memory, 0.3, 5)
    assert found.covered == 1.0
    assert 1 <= found.reported < found.looks * 0.3


@pytest.mark.parametrize(("count", "chance", "confidence"), [(10, 0.5, 0.95), (1000, 0.25, 0.99), (300, 0.01, 0.99)])
def test_what_lies_beside_the_interval_is_no_likelier_than_the_rest(
    count: int, chance: float, confidence: float
) -> None:
    def likelihood(numbers: range) -> float:
        return sum(math.comb(count, n) * chance**n * (1 - chance) ** (count - n) for n in numbers)

    low, high = binomial_interval(count, chance, confidence)
    tail = (1 - confidence) / 2
    assert likelihood(range(low)) <= tail < likelihood(range(low + 1))
    assert likelihood(range(high + 1, count + 1)) <= tail < likelihood(range(high, count + 1))


def test_the_law_is_broken_by_too_many_as_by_too_few() -> None:
    low, high = Law(faults=1000, found=250, coverage=0.25).interval
    holds = {found: Law(faults=1000, found=found, coverage=0.25).holds for found in (low - 1, low, high, high + 1)}
    assert holds == {low - 1: False, low: True, high: True, high + 1: False}
