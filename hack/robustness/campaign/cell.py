"""One cell of the campaign: lead the driver to a point, let the fault strike, start again, and judge what is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from random import Random

from hack.robustness.campaign.kubelet import Call, NotReady
from hack.robustness.campaign.modes import Mode
from hack.robustness.campaign.scenes import BYSTANDERS, TARGETS, Act, Scene
from hack.robustness.campaign.stage import POLL_SECONDS, Stage
from hack.robustness.invariants import Harm
from hack.robustness.power_loss import lose_power

from partita_plugins.testing.kubelet.drivers import ClaimRef

STRIKE_SECONDS = 60.0


class CellFailed(Exception):
    """The cell could not be played to its end; the text says where."""


def _nothing() -> None:
    """The driver does it by itself."""


class Cell:
    """One point in one mode, on a stage of its own."""

    def __init__(self, stage: Stage, mode: Mode, scene: Scene) -> None:
        self._stage, self._mode, self._scene = stage, mode, scene
        self._node, self._kubelet = stage.node, stage.kubelet
        self._wish = TARGETS[scene.target](self._node)
        self._target: ClaimRef | None = None
        self._pending: Call | None = None
        """The call that got no answer, or a refusal: the kubelet makes it again."""

    def play(self) -> None:
        """From the first start to the last claim given back. What is wrong stands in the stage's result."""
        try:
            self._set_up()
            self._strike()
            self._recover()
            if self._mode.degraded:
                self._live_on_without()
            self._carry_on()
            self._use_again()
            self._give_back()
        except (CellFailed, NotReady, OSError) as error:
            self._stage.problem(None, f"{type(error).__name__}: {error}")
        finally:
            self._stage.close()

    # until the fault

    def _set_up(self) -> None:
        scene, starts = self._scene, self._scene.act is Act.START
        if scene.act is Act.AHEAD:
            self._node.let_wait()
        if not starts:
            scene.hands(self._node)
        if scene.fresh:
            return
        self._begin(armed=not starts)
        self._stage.wait_ready()
        for wish in BYSTANDERS.values():
            self._expect(self._kubelet.prepare(self._node.claim(wish(self._node))), "a bystander")
        if scene.act in (Act.UNPREPARE, Act.REPLAY, Act.RECONCILE, Act.IDLE):
            self._expect(self._prepare_target(), "the target")
        if scene.act is Act.HEAL and not self._prepare_target().error:
            raise CellFailed("broken hardware was handed out before the fault")

    def _strike(self) -> None:
        folders, act = self._stage.folders, self._scene.act
        if act is Act.START:
            self._stage.kill()
            self._scene.hands(self._node)
            if self._node.rebooted:
                self._kubelet.rebooted()
        if act is Act.IDLE and self._target:
            self._end(self._target)
            self._target = None
        folders.armed.touch()
        if act is Act.START:
            self._begin(armed=True)
        else:
            call = self._acts[act]()
            self._pending = call if call and call.error else None
        self._wait_struck()
        folders.armed.unlink()
        if folders.undeclared.exists():
            raise CellFailed(f"{folders.undeclared.read_text()} is reached and not in the driver's table")

    @property
    def _acts(self) -> dict[Act, Callable[[], Call | None]]:
        return {
            Act.PREPARE: self._prepare_target,
            Act.AHEAD: self._allocate_target,
            Act.REPLAY: self._prepare_target,
            Act.UNPREPARE: self._unprepare_target,
            Act.IDLE: _nothing,
            Act.HEAL: self._heal,
            Act.RECONCILE: self._lose_claim,
        }

    def _begin(self, *, armed: bool) -> None:
        point = self._stage.result.point if armed else ""
        idle = self._scene.act is Act.IDLE
        self._stage.begin(point, nth=self._scene.nth, kill=self._mode.kills, idle=idle)

    def _prepare_target(self) -> Call:
        self._target = self._target or self._node.claim(self._wish)
        return self._kubelet.prepare(self._target, admin=self._wish.admin)

    def _allocate_target(self) -> None:
        self._target = self._node.claim(replace(self._wish, waits=True))

    def _unprepare_target(self) -> Call:
        assert self._target
        return self._kubelet.unprepare(self._target)

    def _heal(self) -> Call:
        assert self._target
        self._node.heal()
        return Call("Prepare", self._target, "refused before")

    def _lose_claim(self) -> None:
        assert self._target
        self._kubelet.forget(self._target)
        self._node.forget_claim(self._target)
        self._target = None
        with suppress(OSError):  # the process is killed in the middle of it
            self._stage.settle()

    def _wait_struck(self) -> None:
        process, struck, end = self._stage.process, self._stage.folders.struck, time.monotonic() + STRIKE_SECONDS
        assert process
        while not (struck.exists() or process.ended.is_set()) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if not struck.exists():
            raise CellFailed("the point was not reached")
        if not self._mode.kills:
            if self._scene.act is Act.START:
                self._stage.wait_ready()
            process.kill()
        process.ended.wait(STRIKE_SECONDS)
        if not process.killed:
            raise CellFailed(f"the process was not killed, it ended with status {process.status}")

    # after it

    def _recover(self) -> None:
        mode, stage = self._mode, self._stage
        if self._scene.abandoned and self._target:
            self._node.forget_claim(self._target)
            self._target = None
        if mode.loses_unsynced:
            lose_power(stage.folders.state, stage.folders.shadow, Random(stage.result.command))
        if mode.reboots:
            self._node.reboot()
            self._kubelet.rebooted()
            if self._scene.journal_lost:
                self._kubelet.all_to_be_made_again()
        if mode.disk_full:
            stage.folders.full.touch()
        if mode.api_gone:
            self._node.server.stop()
        stage.result.recovery_seconds = round(stage.restart(), 3)
        stage.settle()
        stage.judge("after the restart", api=not mode.api_gone)

    def _live_on_without(self) -> None:
        """Without space or API what is held can be given back, and nothing is lost."""
        stage = self._stage
        if self._pending and self._pending.verb == "Unprepare":
            stage.must_succeed(self._pending)
            self._pending = None
        elif self._pending:
            self._pending = stage.again(self._pending)
        stage.settle()
        stage.judge("while it lasts", api=not self._mode.api_gone)
        stage.folders.full.unlink(missing_ok=True)
        if self._mode.disk_full:
            stage.restart()  # before there was a chance to write anything
        self._node.server.start()

    def _carry_on(self) -> None:
        stage = self._stage
        for call in self._kubelet.replay():
            stage.must_succeed(call, Harm.LOST)
        if self._pending and self._node.broken:
            if stage.again(self._pending) is None:
                stage.problem(Harm.UNSAFE, "broken hardware was handed out")
        elif self._pending:
            stage.must_succeed(self._pending)
        elif self._scene.act is Act.AHEAD and self._target:
            self._bind(self._target)
        stage.settle()
        stage.judge("after the kubelet's repeats")

    def _bind(self, target: ClaimRef) -> None:
        """What kube-scheduler does once the target's conditions say how it went, and the kubelet after it."""
        end = time.monotonic() + STRIKE_SECONDS
        while not (told := self._node.told(target)) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if told == "ready" and not self._node.broken:
            self._stage.must_succeed(Call("Prepare", target, admin=self._wish.admin))
            return
        if told == "ready":
            self._stage.problem(Harm.UNSAFE, "a pod would be bound to broken hardware")
        elif not (told and self._node.broken):
            self._stage.problem(Harm.LOST, f"no pod can be bound: {told or 'no word on it'}")
        self._node.forget_claim(target)

    def _use_again(self) -> None:
        """The next claim gets the hardware, asked for twice at once; so does its rival, as soon as it is free."""
        stage = self._stage
        self._node.heal()
        if self._target and self._target in self._kubelet.claims():
            self._end(self._target)
        call, rival = (Call("Prepare", self._node.claim(self._wish), admin=self._wish.admin) for _ in range(2))
        with ThreadPoolExecutor() as calls:
            list(calls.map(stage.again, (call, rival, call)))
        if not {call.claim, rival.claim} & set(self._kubelet.claims()):
            stage.must_succeed(call)
        stage.judge("with a new claim on the hardware")
        first, second = (call, rival) if call.claim in self._kubelet.claims() else (rival, call)
        with ThreadPoolExecutor() as calls:
            list(calls.map(stage.must_succeed, (Call("Unprepare", first.claim), second)))
        stage.judge("with the next claim on the hardware")

    def _give_back(self) -> None:
        for claim in self._kubelet.claims():
            self._end(claim)
        self._stage.settle()
        self._stage.judge("at the end")
        self._stage.judge_empty()

    def _end(self, claim: ClaimRef) -> None:
        """A pod's end: Unprepare, and the control plane takes the allocation back."""
        self._stage.must_succeed(Call("Unprepare", claim))

    def _expect(self, call: Call, who: str) -> None:
        if call.error:
            raise CellFailed(f"{who} could not be prepared before the fault: {call.error}")
