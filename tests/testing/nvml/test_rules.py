"""The C library and the simulated backend answer alike: same codes, same records, whatever is done to a GPU."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.backends.simulated import SimulatedBackend
from partita_plugins.model.mig import Placement
from tests.testing.nvml.twins import COMPUTE_MODES, Act, Twin, code_of, twins

MACHINES = ("hgx-h100", "dgx-a100-40", "a30-x4", "rtx-pro-6000-x8", "l40s-x8")

# Names of processes: anything that JSON can hold and a C string too.
CLIENTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)

BY_HAND: tuple[Act, ...] = (
    lambda twin: twin.backend.reset(twin.uuid),
    lambda twin: twin.backend.reboot(),
    lambda twin: twin.backend.start_client(twin.uuid, "trainer"),
    lambda twin: twin.backend.stop_client(twin.uuid, "trainer"),
)
"""What a person or a process does to the machine, on both copies through the simulated backend."""


def _acts(backend: SimulatedBackend) -> st.SearchStrategy[Act]:
    """Things to do to the first GPU, legal ones more often than not."""
    mig = backend.machine.hardware.gpus[0].mig
    legal = [(one.profile_id, place) for one in (mig.profiles if mig else ()) for place in one.placements]
    illegal = [(999, Placement(0, 1)), *((profile_id, Placement(13, place.size)) for profile_id, place in legal)]
    places, ids = st.sampled_from(legal or illegal), st.integers(0, 14)
    return st.one_of(
        st.sampled_from([1, 1, 1, 0]).map(lambda wanted: lambda twin: twin.side.set_mig_mode(wanted)),
        places.map(lambda one: lambda twin: twin.side.create(*one)),
        places.map(lambda one: lambda twin: twin.side.create(*one)),
        st.sampled_from(illegal).map(lambda one: lambda twin: twin.side.create(*one)),
        ids.map(lambda one: lambda twin: twin.side.create_compute(twin.gpu_instance_id(one))),
        ids.map(lambda one: lambda twin: twin.side.create_compute(twin.gpu_instance_id(one))),
        ids.map(lambda one: lambda twin: twin.side.destroy(twin.gpu_instance_id(one))),
        ids.map(lambda one: lambda twin: twin.side.destroy_compute(twin.gpu_instance_id(one), 0)),
        st.integers(0, 3).map(lambda one: lambda twin: twin.side.set_time_slice(one)),
        st.sampled_from(sorted(COMPUTE_MODES)).map(lambda one: lambda twin: twin.side.set_compute_mode(one)),
        st.sampled_from(BY_HAND),
        st.tuples(CLIENTS, ids).map(lambda one: lambda twin: twin.start_client(*one)),
    )


def _mig_on(twin: Twin) -> None:
    """As an administrator does it, with a reset where it takes one."""
    twin.backend.machine.switch_mig(twin.uuid, enabled=True)


@pytest.mark.parametrize("machine", MACHINES)
@settings(max_examples=15)
@given(data=st.data())
def test_codes_and_records_are_the_same_after_every_step(machine: str, data: st.DataObject) -> None:
    with twins(machine) as (ours, theirs):
        first = data.draw(st.sampled_from([_mig_on, _mig_on, BY_HAND[0]]))
        for act in (first, *data.draw(st.lists(_acts(ours.backend), min_size=1, max_size=30))):
            assert code_of(ours, act) == code_of(theirs, act)
            assert ours.record == theirs.record


SCRIPTS: dict[str, tuple[str, tuple[Act, ...]]] = {
    "a mode switch puts the compute mode back": (
        "hgx-h100",
        (lambda twin: twin.side.set_compute_mode(3), lambda twin: twin.side.set_mig_mode(1)),
    ),
    "a client keeps the mode from being switched": (
        "hgx-h100",
        (BY_HAND[2], lambda twin: twin.side.set_mig_mode(1), BY_HAND[3], lambda twin: twin.side.set_mig_mode(1)),
    ),
    "a pending mode with a client": ("dgx-a100-40", (BY_HAND[2], lambda twin: twin.side.set_mig_mode(1), BY_HAND[0])),
    "all media engines and then one": (
        "rtx-pro-6000-x8",
        (
            _mig_on,
            lambda twin: twin.side.create(65, Placement(0, 3)),
            lambda twin: twin.side.create(14, Placement(3, 3)),
        ),
    ),
    "one media engine and then all": (
        "rtx-pro-6000-x8",
        (
            _mig_on,
            lambda twin: twin.side.create(14, Placement(0, 3)),
            lambda twin: twin.side.create(65, Placement(3, 3)),
        ),
    ),
    "all media engines and then none": (
        "rtx-pro-6000-x8",
        (
            _mig_on,
            lambda twin: twin.side.create(65, Placement(0, 3)),
            lambda twin: twin.side.create(67, Placement(3, 3)),
        ),
    ),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_chance_seldom_finds_is_the_same_too(script: str) -> None:
    machine, acts = SCRIPTS[script]
    with twins(machine) as (ours, theirs):
        for act in acts:
            assert code_of(ours, act) == code_of(theirs, act)
            assert ours.record == theirs.record
