"""Looks at GPUs that nobody has: what they find, what they leave, and who goes first."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_driver.engine.right_of_way import RightOfWay
from partita_driver.engine.validation.idle import Outcome
from partita_driver.engine.validation.own import OWN_CLAIM
from partita_driver.health.faults import Fault
from partita_driver.lifecycle import ClaimState
from partita_driver.settings.parse import ValidationSettings
from partita_plugins.backends.simulated import StuckBit
from partita_plugins.contracts import Look, ValidationTarget
from partita_plugins.errors import Permanent, ValidationFailed
from partita_plugins.model.instances import GpuProcess
from tests.driver.engine.nodes import Node, claim, result
from tests.driver.engine.test_crash import CrashNow, crash_at
from tests.driver.engine.validators import Scripted, nothing

GIVES_UP_SECONDS = 10.0


def idle(node: Node) -> set[str]:
    return {gpu.uuid for gpu in node.engine.idle_gpus()}


def until_given_up(_target: ValidationTarget, look: Look) -> None:
    end = time.monotonic() + GIVES_UP_SECONDS
    while not look.given_up() and time.monotonic() < end:
        time.sleep(0.001)


def test_a_gpu_that_was_looked_at_while_idle_takes_a_quick_look_in_prepare(node: Node) -> None:
    assert node.engine.look_while_idle(node.gpu_uuid(0)) is Outcome.PASSED
    assert node.journal.state.claims == {}
    one, other = node.engine.prepare(claim(node.whole(0), node.whole(1)))
    assert one.validation
    assert other.validation
    assert (one.validation.depth, other.validation.depth) == ("quick", "full")


def test_a_fault_is_found_before_anybody_asks_and_nobody_is_evicted_for_it(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=5, bit=3))
    with pytest.raises(ValidationFailed, match=r"bit 3 of word 0x5.*nobody gets it until it passes"):
        node.engine.look_while_idle(node.gpu_uuid(0))
    (fault,) = node.engine.faults()
    assert (fault.reason, fault.effect, fault.placement) == ("validation", "NoSchedule", None)
    assert node.journal.state.claims == {}
    assert node.gpu_uuid(0) not in idle(node)
    assert not node.engine.looks[node.gpu_uuid(0)].passed


def test_a_pod_that_was_sent_there_before_the_taint_was_seen_is_evicted(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=5, bit=3))
    with pytest.raises(ValidationFailed):
        node.engine.look_while_idle(node.gpu_uuid(0))
    for _ in range(2):
        with pytest.raises(Permanent, match="quarantined"):
            node.engine.prepare(claim(node.mig(0, "3g", 4)))
    assert [fault.effect for fault in node.engine.faults()] == ["NoExecute"]
    assert [fault.effect for fault in node.told] == ["NoSchedule", "NoExecute"]


@pytest.mark.parametrize(("coverage", "lifted"), [(0.99, False), (0.998, True)])
def test_what_cuda_itself_keeps_of_the_memory_keeps_no_gpu_in_quarantine(
    node: Node, coverage: float, lifted: bool
) -> None:
    node.engine._tools.validator = Scripted(coverage=coverage)
    fault = Fault(gpu_uuid=node.gpu_uuid(0), reason="validation", message="bit 3 of word 0x5 reads 1")
    node.engine.add_faults(fault)
    assert node.engine.revalidate(fault) is lifted


def test_what_was_found_in_a_part_of_the_memory_is_lifted_by_a_look_at_all_of_it(node: Node) -> None:
    uuid = node.gpu_uuid(0)
    node.engine._tools.validator = validator = Scripted(coverage=0.4)
    node.engine.look_while_idle(uuid)
    validator.findings[uuid] = ("bit 3 of word 0x5 reads 1",)
    with pytest.raises(ValidationFailed):
        node.engine.look_while_idle(uuid)
    (fault,) = node.engine.faults()
    validator.findings.clear()
    assert not node.engine.revalidate(fault)
    validator.coverage = 1.0
    assert node.engine.revalidate(fault)
    assert [look.begin for _, look in validator.looks] == pytest.approx([0.0, 0.4, 0.0, 0.0])


@pytest.mark.parametrize("kind", ["whole", "shared", "partition", "admin"])
def test_a_gpu_that_a_claim_has_anything_of_is_not_idle(node: Node, kind: str) -> None:
    names = {"whole": node.whole(0), "shared": node.shared(0), "partition": node.mig(0, "1g", 6)}
    wanted = claim(result(names.get(kind, node.whole(0))) | ({"adminAccess": True} if kind == "admin" else {}))
    node.engine.prepare(wanted)
    assert idle(node) == {node.gpu_uuid(slot) for slot in range(1, 8)}
    assert node.engine.look_while_idle(node.gpu_uuid(1)) is Outcome.PASSED
    node.engine.unprepare(wanted.metadata.uid)
    assert node.gpu_uuid(0) in idle(node)


def test_where_a_stranger_computes_nothing_is_looked_at(node: Node) -> None:
    uuid = node.gpu_uuid(0)
    node.backend.start_client(uuid, "stranger")
    node.engine._tools.validator = validator = Scripted()
    assert node.engine.look_while_idle(uuid) is Outcome.NOT_NOW
    assert validator.looks == []
    node.backend.stop_client(uuid, "stranger")
    assert node.engine.look_while_idle(uuid) is Outcome.PASSED


@pytest.mark.parametrize(("draws", "outcome"), [(True, Outcome.PASSED), (False, Outcome.NOT_NOW)])
def test_a_display_server_keeps_no_gpu_from_being_looked_at(
    node: Node, monkeypatch: pytest.MonkeyPatch, draws: bool, outcome: Outcome
) -> None:
    process = GpuProcess(pid=2000, name="Xorg", only_draws=draws)
    monkeypatch.setattr(node.backend, "processes", lambda _gpu_uuid: (process,))
    assert node.engine.look_while_idle(node.gpu_uuid(0)) is outcome


def test_a_gpu_in_mig_mode_and_one_whose_settings_say_no_are_left_alone(node: Node) -> None:
    node.backend.set_mig_mode(node.gpu_uuid(0), enabled=True)
    node.engine.refresh()
    assert idle(node) == {node.gpu_uuid(slot) for slot in range(1, 8)}
    node.engine._tools.validates = ValidationSettings(idle=False).at
    assert idle(node) == set()


@pytest.mark.parametrize("kind", ["whole", "shared", "partition", "group"])
def test_a_claim_that_arrives_has_the_look_given_up_and_gets_the_gpu(node: Node, kind: str) -> None:
    names = {"shared": node.shared(0), "partition": node.mig(0, "1g", 6), "group": "group-2-0-1"}
    uuid = node.gpu_uuid(0)
    looking = threading.Event()

    def busy(target: ValidationTarget, look: Look) -> None:
        looking.set()
        until_given_up(target, look)

    node.engine._tools.validator = validator = Scripted(coverage=0.25, during=busy)
    with ThreadPoolExecutor() as pool:
        look = pool.submit(node.engine.look_while_idle, uuid)
        assert looking.wait(GIVES_UP_SECONDS)
        validator.during = nothing
        (device,) = node.engine.prepare(claim(names.get(kind, node.whole(0))))
        assert look.result() is Outcome.GIVEN_UP
    assert device.validation
    assert device.validation.depth == "full", "what was given up is no proof"
    (held,) = node.journal.state.claims.values()
    assert held.state is ClaimState.PREPARED
    assert {look.begin for _, look in validator.looks} == {0.0}


def test_no_look_begins_between_a_claims_arrival_and_its_record() -> None:
    way = RightOfWay()
    with way.arriving(["a"]):
        with way.looking("a") as given_up:
            assert given_up is None
        with way.looking("b") as given_up:
            assert given_up is not None
            assert not given_up()
            with way.arriving(["a"]):
                assert not given_up()
    with way.looking("a") as given_up:
        assert given_up is not None
        way.close()
        assert given_up()
    with way.looking("b") as given_up:
        assert given_up is None


POINTS = [
    "journal-synced",
    "idle-intended",
    "made",
    "idle-looked",
    "undo-intended",
    "undo-done",
    "forgotten",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_during_a_look_leaves_nobody_on_the_gpu(node: Node, point: str) -> None:
    with crash_at(point), pytest.raises(CrashNow):
        node.engine.look_while_idle(node.gpu_uuid(0))
    node.start()
    assert node.journal.state.claims == {}
    assert node.gpu_uuid(0) in idle(node)
    node.engine.prepare(claim(node.whole(0)))


def test_a_kill_after_a_fault_was_found_keeps_the_quarantine(node: Node) -> None:
    node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(0), word=5, bit=3))
    with crash_at("quarantined"), pytest.raises(CrashNow):
        node.engine.look_while_idle(node.gpu_uuid(0))
    (fault,) = node.start().faults()
    assert fault.effect == "NoSchedule"
    assert node.journal.state.claims == {}


TURNS_MAX = 10


@settings(max_examples=8)
@given(
    coverages=st.lists(st.floats(min_value=0.05, max_value=1.0), min_size=1, max_size=TURNS_MAX),
    restarts=st.sets(st.integers(min_value=0, max_value=TURNS_MAX - 1)),
    claims=st.sets(st.integers(min_value=0, max_value=TURNS_MAX - 1)),
)
def test_looks_together_cover_all_of_the_memory_and_never_meet_a_claim(
    coverages: list[float], restarts: set[int], claims: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder), machine="a30-x4")
        uuid = node.gpu_uuid(0)

        def nobody_else(_target: ValidationTarget, _look: Look) -> None:
            assert [one for one in node.journal.state.claims if not one.startswith(OWN_CLAIM)] == []

        begun: list[float] = []
        for turn, coverage in enumerate(coverages):
            if turn in restarts:
                node.start()
            if turn in claims:
                node.engine._tools.validator = Scripted()
                held = claim(node.whole(0))
                node.engine.prepare(held)
                assert uuid not in idle(node)
                assert node.engine.look_while_idle(uuid) is Outcome.NOT_NOW
                node.engine.unprepare(held.metadata.uid)
            node.engine._tools.validator = validator = Scripted(coverage=coverage, during=nobody_else)
            assert node.engine.look_while_idle(uuid) is Outcome.PASSED
            begun.append(validator.looks[0][1].begin)
        # A claim's own full look covers all, and so leaves the place where the next begins.
        expected = [total % 1.0 for total in itertools.accumulate(coverages, initial=0.0)]
        assert begun == pytest.approx(expected[: len(begun)])
