"""The door to NVML: handles are kept, a GPU that hangs or is lost costs nobody else, a reload is survived."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from pathlib import Path
from typing import Any

import pynvml
import pytest

from partita_plugins.backends.nvml.host import Host
from partita_plugins.backends.nvml.memory import Memory
from partita_plugins.backends.nvml.names import Names
from partita_plugins.backends.nvml.session import Session
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.testing.contracts.answers import refused
from tests.waiting import WAIT_SECONDS, until

UUIDS = ("GPU-a", "GPU-b", "GPU-c")


class FakeNvml:
    """NVML with GPUs that hang until they are released, or are lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uuids = list(UUIDS)
        self.asked: list[str] = []
        self.opened = 0
        self.hanging: dict[str, threading.Event] = {}
        self.errors: dict[str, int] = {}
        self.init_error = 0
        for name, stand_in in {
            "nvmlInit": self.open,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(self.uuids),
            "nvmlDeviceGetHandleByIndex": self.handle,
            "nvmlDeviceGetUUID": lambda handle: handle,
        }.items():
            monkeypatch.setattr(pynvml, name, stand_in)

    def open(self) -> None:
        self.opened += 1
        if self.init_error:
            raise pynvml.NVMLError(self.init_error)

    def handle(self, index: int) -> str:
        uuid = self.uuids[index]
        self.asked.append(uuid)
        if uuid in self.hanging:
            assert self.hanging[uuid].wait(WAIT_SECONDS)
        if uuid in self.errors:
            raise pynvml.NVMLError(self.errors[uuid])
        return uuid

    def hang(self, uuid: str) -> threading.Event:
        self.hanging[uuid] = threading.Event()
        return self.hanging[uuid]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    return FakeNvml(monkeypatch)


Opener = Callable[..., Session]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """A session of a process that starts in the same boot, again and again."""

    def open_it(*, identify_seconds: float = 30.0) -> Session:
        memory = Memory(tmp_path / "memory.json", "boot")
        return Session(Names(Host(tmp_path), memory), lambda: None, identify_seconds=identify_seconds)

    return open_it


def same(handle: Any) -> Any:
    return handle


def raising(value: int) -> Callable[[Any], Any]:
    def act(_: Any) -> Any:
        raise pynvml.NVMLError(value)

    return act


def test_every_gpu_is_asked_once_for_its_name_and_handle(nvml: FakeNvml, opened: Opener) -> None:
    session = opened()
    assert [session.uuids() for _ in range(3)] == [UUIDS] * 3
    assert [session.on(uuid, "looking", same) for uuid in UUIDS] == list(UUIDS)
    assert (sorted(nvml.asked), nvml.opened) == (list(UUIDS), 1)


def test_a_gpu_that_comes_or_goes_is_noticed(nvml: FakeNvml, opened: Opener) -> None:
    session = opened()
    session.uuids()
    nvml.uuids.append("GPU-d")
    assert session.uuids() == (*UUIDS, "GPU-d")
    assert session.on("GPU-d", "looking", same) == "GPU-d"
    del nvml.uuids[0]
    assert session.uuids() == ("GPU-b", "GPU-c", "GPU-d")
    with refused(NvmlCode.NOT_FOUND):
        session.on("GPU-a", "looking", same)


def test_a_gpu_that_hangs_from_the_start_holds_up_only_its_own_callers(nvml: FakeNvml, opened: Opener) -> None:
    opened().uuids()
    released = nvml.hang("GPU-b")
    session = opened(identify_seconds=0.1)
    assert session.uuids() == UUIDS
    assert session.on("GPU-c", "looking", same) == "GPU-c"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.on, "GPU-b", "looking", same)
        assert session.on("GPU-a", "looking", same) == "GPU-a"
        assert not waiting.done()
        released.set()
        assert waiting.result(WAIT_SECONDS) == "GPU-b"


def test_a_hanging_gpu_that_nobody_can_name_is_left_out_until_it_answers(nvml: FakeNvml, opened: Opener) -> None:
    released = nvml.hang("GPU-b")
    session = opened(identify_seconds=3.0)
    assert session.uuids() == ("GPU-a", "GPU-c")
    assert session.on("GPU-c", "looking", same) == "GPU-c"
    released.set()
    until(lambda: session.uuids() == UUIDS)
    assert session.on("GPU-b", "looking", same) == "GPU-b"
    assert nvml.asked.count("GPU-b") == 1


def test_a_hanging_gpu_that_nobody_can_name_is_waited_for_once(
    nvml: FakeNvml, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def wait(futures: list[Future[Any]], timeout: float) -> None:
        futures_wait(futures, timeout=timeout)
        waited.append(sum(not one.done() for one in futures))

    monkeypatch.setattr("partita_plugins.backends.nvml.session.wait", wait)
    released = nvml.hang("GPU-b")
    session = opened(identify_seconds=3.0)
    assert session.uuids() == ("GPU-a", "GPU-c")
    for uuid in ("GPU-a", "GPU-c"):
        assert session.on(uuid, "looking", same) == uuid
    assert waited == [1, 0, 0], "a call has less time than that, and would be taken for one that hangs"
    released.set()


def test_a_lost_gpu_keeps_its_name_and_is_asked_again(nvml: FakeNvml, opened: Opener) -> None:
    session = opened()
    session.uuids()
    nvml.errors["GPU-a"] = pynvml.NVML_ERROR_GPU_IS_LOST
    for _ in range(2):
        with refused(NvmlCode.GPU_IS_LOST):
            session.on("GPU-a", "looking", raising(pynvml.NVML_ERROR_GPU_IS_LOST))
    assert session.uuids() == UUIDS
    assert session.on("GPU-b", "looking", same) == "GPU-b"
    nvml.errors.clear()
    assert session.on("GPU-a", "looking", same) == "GPU-a"
    assert (nvml.asked.count("GPU-a"), nvml.asked.count("GPU-b")) == (3, 1)


@pytest.mark.parametrize("value", [pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_after_a_reload_of_the_driver_nvml_is_opened_again(nvml: FakeNvml, opened: Opener, value: int) -> None:
    session = opened()
    session.uuids()
    with refused(NvmlCode(value)):
        session.on("GPU-a", "looking", raising(value))
    assert session.on("GPU-a", "looking", same) == "GPU-a"
    assert (nvml.opened, session.generation, nvml.asked.count("GPU-a")) == (2, 1, 2)


def test_a_call_during_which_nvml_is_shut_down_is_told_so_and_the_next_one_opens_it(
    nvml: FakeNvml, opened: Opener
) -> None:
    released = nvml.hang("GPU-c")
    session = opened()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(session.on, "GPU-a", "looking", same)
        until(lambda: "GPU-c" in nvml.asked)
        session.close()
        released.set()
        error = call.exception(WAIT_SECONDS)
    assert isinstance(error, BackendError)
    assert error.code is NvmlCode.UNINITIALIZED
    assert session.on("GPU-a", "looking", same) == "GPU-a"


def test_a_driver_that_is_not_loaded_is_said_with_the_next_step_and_tried_again(nvml: FakeNvml, opened: Opener) -> None:
    session = opened()
    nvml.init_error = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    with pytest.raises(BackendError, match="nvidia-smi") as caught:
        session.uuids()
    assert caught.value.code is NvmlCode.DRIVER_NOT_LOADED
    assert isinstance(caught.value.__cause__, pynvml.NVMLError)
    nvml.init_error = 0
    assert session.uuids() == UUIDS


def test_a_code_that_the_port_does_not_know_is_unknown_and_keeps_its_words(nvml: FakeNvml, opened: Opener) -> None:
    with pytest.raises(BackendError, match="Insufficient Memory") as caught:
        opened().on("GPU-a", "looking", raising(pynvml.NVML_ERROR_MEMORY))
    assert caught.value.code is NvmlCode.UNKNOWN
