"""The kernels' own source, run on the CPU, computes the known answers bit for bit and notes whatever is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from partita_plugins.testing.gpu import Fault, HostKernels, Machine, build_kernels
from partita_plugins.validators import answers
from partita_plugins.validators.cuda.port import Argument
from partita_plugins.validators.cuda.report import ERRORS_KEPT, REPORT

SEED = 0x5EED
ABOVE_16_GIB = 2**33 + 4 * 1000
"""A word of an H200's memory, whose address takes more than 32 bits."""

SOUND = Machine(multiprocessors=6)


class Run:
    """A few launches, with what they noted."""

    def __init__(self, kernels: HostKernels, machine: Machine = SOUND) -> None:
        self._kernels, self._machine = kernels, machine
        self._report = np.zeros(1, dtype=REPORT)

    @property
    def report(self) -> Any:
        return self._report[0]

    @property
    def kept(self) -> Any:
        return self.report["kept"][: min(int(self.report["errors"]), ERRORS_KEPT)]

    def __call__(self, kernel: str, *arguments: Argument, grid: int = 6, block: int = 64) -> None:
        report = () if kernel == "fill" else (_address(self._report),)
        self._kernels.launch(self._machine, kernel, grid, block, [*arguments, *report])


def _address(array: NDArray[Any]) -> np.uint64:
    return np.uint64(array.ctypes.data)


NOWHERE = np.uint64(0)


@pytest.fixture(scope="module")
def kernels() -> HostKernels:
    return HostKernels(build_kernels())


def _words(count: int) -> NDArray[np.uint32]:
    """Aligned as a device's memory is."""
    room = np.zeros(count + 4, dtype=np.uint32)
    return room[(-(room.ctypes.data // 4)) % 4 :][:count]


@pytest.mark.parametrize("inverted", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("first", [0, 2**32 - 512, ABOVE_16_GIB])
def test_memory_is_filled_with_the_pattern_at_any_address(kernels: HostKernels, first: int, inverted: int) -> None:
    words, run = _words(1024), Run(kernels)
    memory = (_address(words), np.uint64(first), np.uint64(1024), np.uint32(SEED), np.uint32(inverted))
    run("fill", *memory)
    assert (words == answers.pattern(SEED, first, 1024) ^ np.uint32(inverted)).all()
    run("check", *memory)
    assert (run.report["checked"], run.report["errors"]) == (1024, 0)


def test_words_16_gib_apart_differ() -> None:
    assert (answers.pattern(SEED, 5, 64) != answers.pattern(SEED, 2**32 + 5, 64)).all()


def test_a_check_notes_address_value_and_answer(kernels: HostKernels) -> None:
    words, run = _words(1024), Run(kernels)
    memory = (_address(words), np.uint64(ABOVE_16_GIB), np.uint64(1024), np.uint32(SEED), np.uint32(0))
    run("fill", *memory)
    words[77] ^= 1 << 9
    run("check", *memory)
    expected = int(answers.pattern(SEED, ABOVE_16_GIB + 77, 1)[0])
    assert run.report["errors"] == 1
    assert run.kept[["place", "got", "expected"]].tolist() == [(ABOVE_16_GIB + 77, expected ^ 1 << 9, expected)]


def test_errors_are_counted_and_a_bounded_number_kept(kernels: HostKernels) -> None:
    words, run = _words(4096), Run(kernels)
    run("check", _address(words), np.uint64(0), np.uint64(4096), np.uint32(SEED), np.uint32(0))
    assert run.report["errors"] > 4000
    assert len(run.kept) == ERRORS_KEPT


def test_memory_with_a_stuck_address_line_is_its_own_image(kernels: HostKernels) -> None:
    words = _words(4096)
    machine = Machine(multiprocessors=6, stuck_line=10, memory=int(_address(words)), memory_bytes=words.nbytes)
    run = Run(kernels, machine)
    memory = (_address(words), np.uint64(0), np.uint64(4096), np.uint32(SEED), np.uint32(0))
    run("fill", *memory)
    run("check", *memory)
    assert run.report["errors"] == 2048


def test_an_address_line_is_the_memory_s_not_an_array_s(kernels: HostKernels) -> None:
    words = _words(2048)
    machine = Machine(multiprocessors=6, stuck_line=10, memory=int(_address(words)), memory_bytes=words.nbytes)
    run = Run(kernels, machine)
    halves = [(_address(half), np.uint64(0), np.uint64(1024)) for half in (words[:1024], words[1024:])]
    for seed, half in enumerate(halves):
        run("fill", *half, np.uint32(seed), np.uint32(0))
    run("check", *halves[1], np.uint32(1), np.uint32(0))
    assert run.report["errors"] == 0, "what was written last is read, from the wrong half"
    run("check", *halves[0], np.uint32(0), np.uint32(0))
    assert run.report["errors"] > 1000


@pytest.mark.parametrize("name", answers.HALF_OF_FORMAT)
@pytest.mark.parametrize("seed", [SEED, ~SEED & 0xFFFFFFFF, 0])
def test_a_product_has_the_reference_s_bits(kernels: HostKernels, name: str, seed: int) -> None:
    a, b = answers.factors(seed, answers.HALF_OF_FORMAT[name])
    expected = answers.exact_product(a, b)
    out, run = np.zeros_like(expected), Run(kernels)
    run(f"product_{name}", np.uint32(seed), np.uint32(3), _address(expected), _address(out))
    assert (out == answers.product(a, b)).all()
    assert (run.report["errors"], run.report["checked"]) == (0, 3 * 6 * 2 * 16 * 8)


@pytest.mark.parametrize("grid", [6, 5])
def test_chains_have_the_reference_s_bits(kernels: HostKernels, grid: int) -> None:
    out, run = np.zeros(1000, dtype=np.uint32), Run(kernels)
    run("chain_fp32", np.uint32(SEED), np.uint64(1000), _address(out), grid=grid)
    assert (out == answers.fma_chain(answers.chain_starts(SEED, 0, 1000))).all()
    long, long_run = np.zeros(1000, dtype=np.uint64), Run(kernels)
    long_run("chain_fp64", np.uint32(SEED), np.uint64(1000), _address(long), grid=grid)
    assert (long == answers.long_fma_chain(answers.long_chain_starts(SEED, 0, 1000))).all()
    assert [one.report["errors"] for one in (run, long_run)] == [0, 0]
    assert [one.report["checked"] for one in (run, long_run)] == [1000, 1000]


@pytest.mark.parametrize("kernel", ["chain_fp32", "chain_fp64", "product_fp16", "product_bf16", "product_e4m3"])
def test_every_multiprocessor_that_took_part_is_noted(kernels: HostKernels, kernel: str) -> None:
    for machine, there in ((SOUND, 0b111111), (Machine(multiprocessors=6, fault=Fault.IDLE), 0b111110)):
        run = Run(kernels, machine)
        _compute(run, kernel)
        assert run.report["multiprocessors"][0] == there


@pytest.mark.parametrize(
    ("fault", "kernel"),
    [
        *((fault, name) for name in ("chain_fp32", "chain_fp64") for fault in (Fault.WRONG_BIT, Fault.LOW_BIT)),
        *(
            (fault, f"product_{name}")
            for name in answers.HALF_OF_FORMAT
            for fault in (Fault.WRONG_BIT, Fault.LOW_BIT, Fault.NOT_A_NUMBER, Fault.SWAPPED_LANES)
        ),
    ],
)
def test_a_faulty_multiprocessor_is_found_and_named(kernels: HostKernels, fault: Fault, kernel: str) -> None:
    run = Run(kernels, Machine(multiprocessors=6, fault=fault, faulty_multiprocessor=4))
    _compute(run, kernel)
    assert run.report["errors"] > 0
    assert set(run.kept["multiprocessor"].tolist()) == {4}


def _compute(run: Run, kernel: str) -> None:
    if kernel.startswith("chain"):
        run(kernel, np.uint32(SEED), np.uint64(6 * 64), NOWHERE)
    else:
        half = answers.HALF_OF_FORMAT[kernel.removeprefix("product_")]
        expected = answers.exact_product(*answers.factors(SEED, half))
        run(kernel, np.uint32(SEED), np.uint32(1), _address(expected), NOWHERE)
