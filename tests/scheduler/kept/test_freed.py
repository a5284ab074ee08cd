"""What is given back while kube-scheduler looks at a pod: in use for that pod, free for the next one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.wire import DRIVER_NAME
from partita_scheduler.allocator.allocation import devices_of
from partita_scheduler.kept import state
from partita_scheduler.kept.cycles import HELD_SECONDS, MOST_SECONDS, Cycles
from tests.scheduler.decision.fleet import claim, exactly, selected
from tests.scheduler.edge.fakes import Clock
from tests.scheduler.kept.world import Twice, pod_of

CYCLE = 0.03
HELD = ("c0", "c1", "c2", "c3")
SECONDS = st.sampled_from([0.0, 0.001, 0.01, CYCLE, 0.1, MOST_SECONDS, 60.0])


class Busy(Twice):
    """A node of four GPUs, all held, and a pod for one of them in each cycle."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.node("a")
        self.publish("a")
        for name in (*HELD, "wish", "two"):
            self.wish(name, "two" if name == "two" else "one")
        for name in HELD:
            self.allocate(name, "a")
        self.gpus = [self.devices(name)[0] for name in HELD]
        self.cycle()

    def cycle(self, *freed: str, claim: str = "wish") -> tuple[str, ...]:
        """kube-scheduler looks at what is in use, then at its nodes, and asks; meanwhile these claims are freed."""
        for name in freed:
            self.clock.now += CYCLE / (len(freed) + 1)
            self.freed(name)
        self.clock.now += CYCLE / (len(freed) + 1)
        return self.asked(claim)

    def asked(self, claim: str = "wish") -> tuple[str, ...]:
        """The devices that are foretold, alike for filter and prioritize."""
        pod = pod_of(claim, "p")
        self.kept.asked(pod)
        answers = []
        for last in (False, True):  # filter, prioritize
            found = self.kept.find(pod, ["a"])
            assert found is not None
            allocations = found.among(["a"]).decision().verdicts["a"].allocations or {}
            answers.append(devices_of(allocations[claim]) if allocations else ())
            self.kept.answered(last=last)
            self.background()
        assert answers[0] == answers[1]
        return answers[0]

    def background(self) -> None:
        while self.kept.step():
            pass

    @property
    def in_use(self) -> set[str]:
        uses = self.kept.told.cluster.uses
        return {f"{pool.pool}/{device}" for pool, use in uses.items() for device in use.whole}


def test_a_gpu_that_is_freed_after_kube_scheduler_looked_is_free_for_the_next_pod() -> None:
    world = Busy()
    world.cycle("c3")
    assert world.cycle("c0") == (world.gpus[3],)
    assert world.cycle() == (world.gpus[0],)


def test_it_is_not_free_either_when_the_background_was_quicker_than_the_question() -> None:
    world = Busy()
    world.cycle("c3")
    world.clock.now += CYCLE / 2
    world.freed("c0")
    world.background()
    world.clock.now += CYCLE / 2
    assert world.asked() == (world.gpus[3],)


@pytest.mark.parametrize(
    ("happens", "number"),
    [
        (("freed", "made"), 0),
        (("made", "freed"), 3),
        (("made", "freed", "changed"), 3),
        (("made", "freed", "remade"), 0),
    ],
)
def test_what_was_freed_before_the_pods_claim_was_made_is_free(happens: tuple[str, ...], number: int) -> None:
    """kube-scheduler has the claim, and one watch tells it of both in their order. The pod may not be seen here yet."""
    world = Busy()
    world.cycle("c3")
    acts: dict[str, Callable[[], None]] = {
        "freed": lambda: world.freed("c0"),
        "made": lambda: world.wish("new", "one"),
        "changed": lambda: world.freed("new"),
        "remade": lambda: world.remade("new", "one"),
    }
    for what in happens:
        world.clock.now += CYCLE / 4
        acts[what]()
    world.clock.now += CYCLE / 4
    assert world.asked("new") == (world.gpus[number],)


def test_a_gpu_that_is_freed_before_the_cycle_is_free_after_a_long_pause_too() -> None:
    world = Busy()
    world.cycle("c3")
    world.clock.now += 60
    world.freed("c0")
    assert world.cycle() == (world.gpus[0],)


def test_a_pod_gets_the_gpu_that_it_waited_for_however_lately_that_was_freed() -> None:
    """kube-scheduler asks about the node because the pod fits there; so it knows of what was freed before that, too."""
    assert Busy().cycle("c3", "c0") == Busy().devices("c3")
    world = Busy()
    assert world.cycle("c3", "c0", "c1", claim="two") == tuple(sorted((world.gpus[0], world.gpus[3])))


def test_also_one_that_takes_this_gpu_alone_by_its_uuid() -> None:
    world = Busy()
    node = world.slices.values()
    uuids = {one.name: one.attributes["uuid"].string for some in node for one in some.spec.devices if one.attributes}
    uuid = uuids[world.gpus[0].rpartition("/")[2]]
    world.claim(claim("mine", exactly(selectors=selected(f'device.attributes["{DRIVER_NAME}"].uuid == "{uuid}"'))))
    world.cycle()
    assert world.cycle("c0", claim="mine") == (world.gpus[0],)


@pytest.mark.parametrize("why", ["breaks a wish", "cannot be bound to", "not looked at in time"])
def test_a_node_that_we_would_not_take_does_not_tell_what_kube_scheduler_knew(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its allocator found two GPUs there; what is wrong with them, or whether they fit at all, is ours to say."""
    world = Twice()
    for node, machine, gpus in (("a", "dgx-1v", 8), ("b", "a30-x4", 4)):
        world.node(node, own="4" if (why, node) == ("cannot be bound to", "b") else "0")
        world.publish(node, machine)
        for number in range(gpus):
            world.wish(f"{node}{number}", "one")
            world.allocate(f"{node}{number}", node)
    free = {device for name in ("a6", "a7") for device in world.devices(name)}
    for name in ("a6", "a7", "b0", "b1"):
        world.freed(name)
    world.wish("pair", "two")
    world.wish("single", "one")
    world.find(pod_of("pair", "before"), ["a", "b"])
    for name in ("a3", "b3"):
        world.clock.now += CYCLE / 3
        world.freed(name)
    world.clock.now += CYCLE / 3
    pod = pod_of("pair", "p", nvlink=why == "breaks a wish")
    if why == "cannot be bound to":
        pod = pod_of("single", "p", gpus=1)
    if why == "not looked at in time":
        world.cpu("b", 8_000)
        monkeypatch.setattr(state, "ANSWER_SECONDS", -1.0)
    world.kept.asked(pod)
    found = world.kept.find(pod, ["a", "b"])
    assert found is not None
    decision = found.among(["a", "b"]).decision()
    assert decision.order == ("a",)
    foretold = decision.verdicts["a"].allocations or {}
    assert {device for allocation in foretold.values() for device in devices_of(allocation)} == free


def test_a_claim_that_is_freed_and_allocated_again_holds_what_it_had_and_what_it_has() -> None:
    world = Busy()
    world.cycle("c1")
    world.clock.now += CYCLE / 2
    world.freed("c3")
    world.allocate("c3", "a")
    world.freed("c2")
    assert world.devices("c3") == (world.gpus[1],)
    world.background()
    assert world.in_use == set(world.gpus)
    assert world.cycle() == (world.gpus[2],)


def test_what_was_freed_before_the_last_answer_is_free_before_the_next_question() -> None:
    """Its node is judged by then."""
    world = Busy()
    world.cycle("c0", "c3")
    assert world.in_use == set(world.gpus[1:3])


def test_what_was_freed_is_free_in_time_while_nobody_asks() -> None:
    """On the standby, and where no pod comes for long."""
    world = Busy()
    world.clock.now += CYCLE
    world.freed("c0")
    world.background()
    assert world.in_use == set(world.gpus)
    world.clock.now += HELD_SECONDS
    world.background()
    assert world.in_use == set(world.gpus[1:])


def test_an_assumption_that_did_not_come_true_is_over_at_once() -> None:
    """kube-scheduler never had those devices in use."""
    world = Busy()
    world.cycle("c0", "c1")
    world.cycle()
    world.wish("mine", "one")
    world.take(pod_of("mine", "m"), ["a"])
    assert world.asked() == (world.gpus[1],)
    world.no_node("a")
    world.assumptions.forget("m")
    world.node("a")
    assert world.asked() == (world.gpus[0],)


steps = st.lists(
    st.tuples(st.sampled_from(["freed", "allocated", "gone", "background", "cycle"]), st.integers(0, 3), SECONDS),
    max_size=40,
)


@given(steps)
def test_what_was_freed_since_kube_scheduler_looked_changes_no_answer_and_is_free_in_time(
    happens: list[tuple[str, int, float]],
) -> None:
    """Held against a list of what was freed and when; the clock goes on with everything that happens."""
    world, freed = Busy(), dict[str, float]()
    answered = world.clock.now
    for what, number, seconds in happens:
        world.clock.now += seconds
        name = HELD[number]
        had = world.devices(name)
        match what:
            case "freed":
                world.freed(name)
            case "gone":
                world.no_claim(name)
                world.wish(name, "one")
            case "allocated":
                world.allocate(name, "a")
            case "background":
                world.background()
        if had and not world.devices(name):
            freed[had[0]] = world.clock.now
        if what != "cycle":
            continue
        begun = answered if world.clock.now - answered <= MOST_SECONDS else world.clock.now
        held = {device for name in HELD for device in world.devices(name)}
        found, answered = world.asked(), world.clock.now
        free = [gpu for gpu in world.gpus if gpu not in held]
        known = [gpu for gpu in free if freed.get(gpu, 0.0) <= begun]
        # kube-scheduler would not ask about a node without a free one: what was freed first since is known to it.
        soonest = min((freed.get(gpu, 0.0) for gpu in free), default=0.0)
        expected = known or [gpu for gpu in free if freed[gpu] == soonest]
        assert found == tuple(expected[:1])
    world.clock.now += HELD_SECONDS
    world.background()
    assert world.in_use == {device for name in HELD for device in world.devices(name)}


def test_a_cycle_begins_after_the_last_answer_or_when_its_pod_comes() -> None:
    clock = Clock()
    cycles = Cycles(clock)
    for coming in (0.0, CYCLE):
        answered = clock.now
        cycles.answered(last=False)
        clock.now += coming
        if coming:
            cycles.waits("pod")
        clock.now += CYCLE
        cycles.asked("pod")
        assert cycles.gathered == answered + coming


def test_of_a_cycle_whose_begin_is_not_known_all_that_was_freed_counts() -> None:
    """At first, and where pods wait for what is freed: nothing was asked, and then this."""
    clock = Clock()
    cycles = Cycles(clock)
    cycles.waits("pod")
    for _ in range(2):
        clock.now += 2 * MOST_SECONDS
        cycles.asked("pod")
        assert cycles.gathered == clock.now
        cycles.answered(last=False)


def test_pods_that_are_gone_are_forgotten() -> None:
    world = Busy()
    waiting, gone = pod_of("wish", "waiting"), pod_of("wish", "gone")
    for pod in (waiting, gone):
        world.kept.told.pod_changed(None, pod)
    world.kept.told.pod_changed(gone, None)
    assert list(world.kept.told.cycles._waiting) == ["waiting"]
