"""A child that hangs, dies, talks nonsense or cannot be killed: what is told of its device, and who waits for whom."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from partita_plugins.contracts import Depth, Look, ValidationTarget
from partita_plugins.errors import BackendError, DeviceHung, NvmlCode
from partita_plugins.validators.cuda import conversation, spares
from partita_plugins.validators.cuda.messages import Answer
from partita_plugins.validators.cuda.process import ChildProcess, Ended
from partita_plugins.validators.cuda.validator import CudaValidator
from partita_plugins.validators.cuda.verdict import figures
from tests.waiting import WAIT_SECONDS

LOOK = Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS)
SHORT_LOOK = replace(LOOK, deadline_seconds=2.0)
"""For a child that takes all of it: time enough to start in."""

ANSWER = {"type": "answer", "memory_bytes": 81559 << 20, "multiprocessors": 132, "memory_coverage": 0.25}

READY = """
import json, os, signal, sys, time
def say(**message):
    print(json.dumps(message), flush=True)
say(type="ready")
request = json.loads(sys.stdin.readline())
"""


def _validator(script: str) -> CudaValidator:
    command = [sys.executable, "-I", "-S", "-c", READY + script]
    return CudaValidator("test", lambda: ChildProcess(command, {}), spares=0)


def _said(script: str, whole: ValidationTarget, look: Look = LOOK) -> str:
    """The one finding."""
    (finding,) = _validator(script).validate(whole, look).findings
    return finding


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what ends by itself, on a machine that has other things to do."""
    for name in ("EXIT_SECONDS", "GIVE_UP_SECONDS", "KILL_SECONDS"):
        monkeypatch.setattr(conversation, name, WAIT_SECONDS)
    monkeypatch.setattr(spares, "GONE_SECONDS", WAIT_SECONDS)


def test_an_answer_is_passed_on(whole: ValidationTarget) -> None:
    result = _validator(f"say(**{ANSWER})").validate(whole, LOOK)
    assert (result.method, result.passed, result.memory_coverage) == ("test", True, 0.25)


@pytest.mark.parametrize(
    ("seen_mib", "promised_mib", "passed"),
    [
        (14_930, 15_360, True),  # T4
        (24_094, 24_576, True),  # A30
        (81_039, 81_920, True),  # A100
        (81_152, 81_559, True),  # H100 PCIe
        (9_984, 9_984, True),  # 1g.10gb
        (9_984 - 1024, 9_984, False),
        (81_559 - 4096, 81_559, False),
    ],
)
def test_memory_that_the_driver_keeps_is_not_missing(
    whole: ValidationTarget, seen_mib: int, promised_mib: int, *, passed: bool
) -> None:
    answer = Answer(memory_bytes=seen_mib << 20, multiprocessors=132)
    assert (figures(answer, [replace(whole, memory_mib=promised_mib)]) == ()) is passed


@pytest.mark.parametrize(
    ("there", "promised", "passed"), [(132, 132, True), (131, 132, False), (132, 66, True), (9, 0, True)]
)
def test_fewer_multiprocessors_than_promised_are_a_finding_and_more_are_none(
    whole: ValidationTarget, there: int, promised: int, *, passed: bool
) -> None:
    answer = Answer(memory_bytes=whole.memory_mib << 20, multiprocessors=there)
    assert (figures(answer, [replace(whole, multiprocessors=promised)]) == ()) is passed


def test_a_child_is_told_no_more_than_it_needs(whole: ValidationTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "value")
    script = 'say(type="answer", findings=[*os.environ, str(os.getcwd()), *request["visible"]])'
    found = _validator(script).validate(whole, LOOK).findings
    assert "SECRET" not in found
    assert found[-2:] == ("/", whole.gpu.uuid)


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        ("print('hello')", "the validation process answered 'hello'"),
        ("print('x' * 10**6)", f"the validation process answered '{'x' * 80}'"),
        ("say(type='started'); os.abort()", "the validation process ended by signal 6"),
        (
            "say(type='started'); sys.stderr.write('first\\nCUDA error 719: launch failure\\n'); sys.exit(3)",
            "the validation process ended with status 3: CUDA error 719: launch failure",
        ),
        ("say(type='started'); sys.exit(0)", "the validation process ended with status 0"),
    ],
)
def test_what_a_child_does_to_a_device_is_found(whole: ValidationTarget, script: str, finding: str) -> None:
    assert _said(script, whole) == finding


@pytest.mark.parametrize("then", ["time.sleep(600)", "\nwhile True: sys.stderr.write('x' * 10**5)"])
def test_a_child_that_does_not_end_is_found(whole: ValidationTarget, then: str) -> None:
    finding = "the device did not finish within 2 s"
    assert _said(f"say(type='started'); {then}", whole, SHORT_LOOK) == finding


def test_beside_others_a_child_that_is_late_proves_nothing(whole: ValidationTarget) -> None:
    result = _validator("say(type='started'); time.sleep(600)").validate(whole, replace(SHORT_LOOK, shared=True))
    assert (result.findings, result.skipped) == ((), "shared")


def test_last_words_are_bounded(whole: ValidationTarget) -> None:
    """And nobody waits for them to be read: a pipe holds less than that."""
    assert len(_said("say(type='started'); sys.stderr.write('x' * 10**6); sys.exit(1)", whole)) < 500


def test_a_child_that_never_opens_the_device_blames_nobody(whole: ValidationTarget) -> None:
    with pytest.raises(BackendError, match="TIMEOUT") as caught:
        _validator("time.sleep(600)").validate(whole, replace(LOOK, deadline_seconds=0.5))
    assert not isinstance(caught.value, DeviceHung)


def test_a_child_that_crashes_before_it_opens_the_device_blames_nobody(whole: ValidationTarget) -> None:
    """A CPU that is too old for NumPy, a library of NVIDIA's that does not fit: all GPUs would be to blame."""
    with pytest.raises(BackendError, match=r"ended by signal 4, before the device was open") as caught:
        _validator("os.kill(os.getpid(), signal.SIGILL)").validate(whole, LOOK)
    assert caught.value.code is NvmlCode.UNKNOWN


def test_a_child_that_the_kernel_kills_blames_nobody(whole: ValidationTarget) -> None:
    with pytest.raises(BackendError, match="raise the memory limit") as caught:
        _validator("os.kill(os.getpid(), signal.SIGKILL)").validate(whole, LOOK)
    assert caught.value.code is NvmlCode.INSUFFICIENT_RESOURCES


def test_a_refusal_is_an_error_with_its_advice(whole: ValidationTarget) -> None:
    script = 'say(type="refusal", code=12, message="there is no libcuda.so.1", advice="install it")'
    with pytest.raises(BackendError, match=r"there is no libcuda.so.1 \(LIBRARY_NOT_FOUND\); install it"):
        _validator(script).validate(whole, LOOK)


def test_giving_up_is_said_and_what_was_seen_counts(whole: ValidationTarget) -> None:
    script = f"say(type='started'); sys.stdin.readline(); say(**{ANSWER})"
    result = _validator(script).validate(
        whole, Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS, given_up=lambda: True)
    )
    assert (result.passed, result.memory_coverage, result.skipped) == (True, 0.25, "")


def test_a_child_that_does_not_give_up_is_killed_and_proves_nothing(
    whole: ValidationTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "GIVE_UP_SECONDS", 0.2)
    look = Look(depth=Depth.FULL, deadline_seconds=WAIT_SECONDS, given_up=lambda: True)
    result = _validator("say(type='started'); time.sleep(600)").validate(whole, look)
    assert (result.memory_coverage, result.skipped) == (0.0, "given up")


def test_a_child_that_answers_and_stays_is_ended_before_the_answer_counts(
    whole: ValidationTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In exclusive mode nobody else could open the GPU."""
    monkeypatch.setattr(conversation, "EXIT_SECONDS", 0.3)
    children: list[ChildProcess] = []

    def start() -> ChildProcess:
        command = [sys.executable, "-I", "-S", "-c", f"{READY}say(**{ANSWER}); time.sleep(600)"]
        children.append(ChildProcess(command, {}))
        return children[-1]

    assert CudaValidator("test", start, spares=0).validate(whole, LOOK).passed
    assert children[0].exit_code() == -9


class Immortal:
    """A child in the driver's uninterruptible sleep: it says nothing, and SIGKILL does nothing."""

    dead = False

    def __init__(self, *lines: bytes) -> None:
        self._lines = list(lines)
        self.killed = 0

    def send(self, line: bytes) -> None: ...

    def line(self, timeout_seconds: float) -> bytes | None:
        return self._lines.pop(0) if self._lines else None

    def kill(self) -> None:
        self.killed += 1

    def gone(self, timeout_seconds: float) -> bool:
        return self.dead

    def exit_code(self) -> int | None:
        return None

    def last_words(self) -> str:
        return ""


def _clock() -> Callable[[], float]:
    ticks: Iterator[float] = iter(number / 100 for number in range(10**6))
    return lambda: next(ticks)


class Slow(Immortal):
    """A child that is killed while the driver opens the GPU: it ends when that has been done."""

    def gone(self, timeout_seconds: float) -> bool:
        return bool(self.killed) and timeout_seconds > 5


def test_a_child_that_gives_up_while_it_opens_the_gpu_has_the_time_that_takes(whole: ValidationTarget) -> None:
    """Without persistence mode, or for eight at once, that is seconds."""
    look = Look(depth=Depth.FULL, deadline_seconds=16, given_up=lambda: True)
    result = CudaValidator("test", Slow, spares=0, clock=_clock()).validate(whole, look)
    assert (result.findings, result.skipped) == ((), "given up")


@pytest.mark.parametrize("lines", [(), (json.dumps({"type": "started"}).encode(),), (json.dumps(ANSWER).encode(),)])
def test_a_child_that_cannot_be_killed_hangs_the_gpu_and_is_never_waited_for(
    whole: ValidationTarget, partition: ValidationTarget, lines: tuple[bytes, ...]
) -> None:
    children: list[Immortal] = []

    def start() -> Immortal:
        children.append(Immortal(*lines))
        return children[-1]

    validator = CudaValidator("test", start, spares=0, clock=_clock())
    with pytest.raises(DeviceHung, match=f"{whole.gpu.uuid} cannot be ended"):
        validator.validate(whole, LOOK)
    assert children[0].killed == 1
    with pytest.raises(DeviceHung):
        validator.validate(whole, LOOK)
    assert len(children) == 1, "nobody touches the GPU again"
    with pytest.raises(DeviceHung, match=partition.gpu.uuid):
        validator.validate(partition, LOOK)
    assert len(children) == 2, "other GPUs are not concerned"
    children[0].dead = True
    with pytest.raises(DeviceHung):
        validator.validate(whole, LOOK)
    assert len(children) == 3, "a GPU whose child has ended may be looked at again"


def test_a_gpu_that_hangs_is_known_also_where_no_further_child_can_be_started(whole: ValidationTarget) -> None:
    children = [Immortal()]

    def start() -> Immortal:
        if not children:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return children.pop()

    validator = CudaValidator("test", start, spares=1, clock=_clock())
    for _ in range(2):
        with pytest.raises(DeviceHung):
            validator.validate(whole, LOOK)


def test_where_no_child_can_be_started_nobody_is_to_blame(whole: ValidationTarget) -> None:
    def start() -> ChildProcess:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with pytest.raises(BackendError, match="temporarily unavailable") as caught:
        CudaValidator("test", start, spares=1).validate(whole, LOOK)
    assert caught.value.code is NvmlCode.INSUFFICIENT_RESOURCES


class Quick(Immortal):
    """A child that has answered and ended in the moment before it is told to give up."""

    dead = True

    def send(self, line: bytes) -> None:
        if line == b"\n":
            self._lines = [json.dumps({**ANSWER, "findings": ["a wrong word"]}).encode()]
            raise Ended


def test_an_answer_that_crosses_with_giving_up_counts(whole: ValidationTarget) -> None:
    look = replace(LOOK, given_up=lambda: True)
    result = CudaValidator("test", Quick, spares=0, clock=_clock()).validate(whole, look)
    assert result.findings == ("a wrong word",)


def test_a_validator_that_is_closed_ends_the_children_that_wait_and_starts_none(whole: ValidationTarget) -> None:
    children: list[ChildProcess] = []

    def start() -> ChildProcess:
        children.append(ChildProcess([sys.executable, "-I", "-S", "-c", READY + f"say(**{ANSWER})"], {}))
        return children[-1]

    validator = CudaValidator("test", start, spares=2)
    assert not any(child.gone(0) for child in children)
    validator.close()
    assert all(child.exit_code() is not None for child in children)
    assert validator.validate(whole, LOOK).passed
    assert (len(children), children[-1].gone(0)) == (3, True)
