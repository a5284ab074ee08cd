"""What a cell plays on: a node, its driver process of the moment, its kubelet, and the judge."""

from __future__ import annotations

import time
from pathlib import Path

from hack.robustness.campaign.control import ask
from hack.robustness.campaign.kubelet import Call, Kubelet
from hack.robustness.campaign.life import Life
from hack.robustness.campaign.node import TIME_SLICE, Node
from hack.robustness.campaign.observe import leftovers, observe
from hack.robustness.campaign.results import Problem, Result
from hack.robustness.campaign.zygote import Process, Zygote
from hack.robustness.invariants import Harm, violations

READY_SECONDS = 60.0
QUIET_SECONDS = 10.0
"""How long a violation must last to be one: publishing and the timers' work go on beside the observer."""

RETRY_SECONDS = 30.0
"""How long the kubelet tries again what is refused for the time being."""

POLL_SECONDS = 0.02


class Stage:
    """One node of its own in a folder of its own. What is wrong goes to the result."""

    def __init__(self, zygote: Zygote, root: Path, result: Result) -> None:
        self._zygote, self.result = zygote, result
        self.node = Node(root)
        self.folders = self.node.folders
        self.kubelet = Kubelet(self.folders, self.node.gpus, TIME_SLICE)
        self.process: Process | None = None

    def begin(self, point: str = "", *, nth: int = 1, kill: bool = True, idle: bool = False) -> Process:
        """A new driver process. With a point: the fault strikes there once it is armed."""
        life = Life(root=str(self.folders.root), point=point, nth=nth, kill=kill, idle=idle)
        self.process = self._zygote.begin(life)
        return self.process

    def wait_ready(self) -> None:
        """Until the driver serves. Raises NotReady."""
        assert self.process
        self.kubelet.wait_ready(self.process.ended.is_set, time.monotonic() + READY_SECONDS)

    def restart(self) -> float:
        """Kill the driver, if one is left, and start it again. Seconds until it serves."""
        self.kill()
        began = time.monotonic()
        self.begin()
        self.wait_ready()
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, unless it is gone already."""
        if self.process:
            self.process.kill()

    def close(self) -> None:
        """End everything but the folder."""
        self.kill()
        self.node.close()

    def again(self, call: Call) -> Call | None:
        """Make a call once more, as the kubelet does. None when it succeeds."""
        if call.verb == "Prepare":
            again = self.kubelet.prepare(call.claim, admin=call.admin)
        else:
            again = self.kubelet.unprepare(call.claim)
            if not again.error:
                self.node.deallocate(call.claim)
        return again if again.error else None

    def repeat(self, call: Call) -> Call | None:
        """Until it succeeds: None. The last refusal when that takes too long."""
        end = time.monotonic() + RETRY_SECONDS
        while left := self.again(call):
            if time.monotonic() > end:
                return left
            time.sleep(POLL_SECONDS)
        return None

    def must_succeed(self, call: Call, harm: Harm | None = None) -> None:
        """Repeat it, and note a problem where it does not succeed."""
        if left := self.repeat(call):
            self.problem(harm, f"{left.verb} does not succeed: {left.error}")

    def settle(self) -> None:
        """Let the driver reconcile now, as its timer would."""
        ask(self.folders.control, "settle")

    def judge(self, when: str, *, api: bool = True) -> None:
        """Check all invariants; a violation counts if it lasts."""
        end = time.monotonic() + QUIET_SECONDS
        while True:
            journal = ask(self.folders.control, "state")
            found = violations(observe(self.node, journal, self.kubelet.promises, api=api))
            if not found or time.monotonic() > end:
                break
            time.sleep(POLL_SECONDS)
        for one in found:
            self.problem(one.harm, f"{when}: {one.found} ({one.invariant})")

    def judge_empty(self) -> None:
        """Nothing may be left once every claim is given back."""
        for left in leftovers(self.node, ask(self.folders.control, "state")):
            self.problem(Harm.LEAKED, f"at the end {left}")

    def problem(self, harm: Harm | None, found: str) -> None:
        """Note that something is wrong."""
        self.result.problems.append(Problem(harm, found))
