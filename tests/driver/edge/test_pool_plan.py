"""Which writes bring the API server from any state to the desired pool."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from partita_driver.slices.contents import SliceContent, content_of
from partita_driver.slices.plan import Accepted, Owner, Verb, plan_writes
from partita_plugins.wire import pool_name
from partita_plugins.wire.objects import ObjectMeta, OwnerReference, Taint
from partita_plugins.wire.resource_slice import Device, Pool, ResourceSlice, ResourceSliceSpec

OWNER = Owner(node_name="node-a", uid="node-uid")
OURS = OwnerReference(api_version="v1", kind="Node", name="node-a", uid="node-uid", controller=True)
NAMES = ("00", "01", "02", "left-over")


def content(name: str, device: str) -> SliceContent:
    return SliceContent(name=name, devices=(Device(name=device),))


def stored(name: str, device: str, generation: int, count: int, owner: str = "node-uid") -> ResourceSlice:
    return ResourceSlice(
        metadata=ObjectMeta(name=name, resource_version="7", owner_references=[OwnerReference(uid=owner)]),
        spec=ResourceSliceSpec(
            driver="gpu.partita.dev",
            pool=Pool(name=pool_name("node-a"), generation=generation, resource_slice_count=count),
            node_name="node-a",
            devices=[Device(name=device)],
        ),
    )


slices = st.builds(
    stored,
    name=st.just(""),
    device=st.sampled_from(["a", "b"]),
    generation=st.integers(1, 3),
    count=st.integers(1, 3),
    owner=st.sampled_from(["node-uid", "old-node-uid"]),
)


@given(st.dictionaries(st.sampled_from(NAMES), slices), st.integers(1, 3), st.integers(0, 4))
def test_one_round_of_writes_is_enough_from_any_state(
    found: dict[str, ResourceSlice], count: int, generation: int
) -> None:
    current = {
        name: msgspec.structs.replace(entry, metadata=msgspec.structs.replace(entry.metadata, name=name))
        for name, entry in found.items()
    }
    desired = [content(name, "a") for name in NAMES[:count]]
    before = {name: entry.spec.pool.generation for name, entry in current.items()}
    for write in plan_writes(current, desired, OWNER, accepted={}, generation=generation):
        name = write.slice.metadata.name
        if write.verb is Verb.DELETE:
            current = {key: entry for key, entry in current.items() if entry is not write.slice}
        else:
            assert (write.verb is Verb.REPLACE) == (name in found)
            assert write.slice.spec.pool.generation >= before.get(name, 0), "a generation never goes back"
            current[name] = write.slice
    assert plan_writes(current, desired, OWNER, accepted={}, generation=generation) == ()
    assert {name: content_of(name, entry.spec) for name, entry in current.items()} == {c.name: c for c in desired}
    [made] = {entry.spec.pool.generation for entry in current.values()}
    assert made >= max(before.values(), default=0)
    assert made >= generation


def test_a_reader_never_sees_old_and_new_contents_in_one_complete_generation() -> None:
    current = {name: stored(name, "a", 1, 3) for name in NAMES[:3]}
    desired = [content("00", "a"), content("01", "b"), content("02", "b")]
    writes = plan_writes(current, desired, OWNER, accepted={}, generation=1)
    assert [(write.slice.metadata.name, write.slice.spec.pool.generation) for write in writes] == [
        ("00", 2),
        ("01", 2),
        ("02", 2),
    ]


def test_one_changed_slice_keeps_the_generation() -> None:
    current = {name: stored(name, "a", 5, 2) for name in NAMES[:2]}
    [write] = plan_writes(current, [content("00", "a"), content("01", "b")], OWNER, accepted={}, generation=1)
    assert (write.slice.metadata.name, write.slice.spec.pool.generation) == ("01", 5)
    assert write.slice.metadata.resource_version == "7"


def test_a_taint_keeps_the_time_at_which_it_was_first_seen() -> None:
    taint = Taint(key="k", value="v", effect="NoExecute")
    old = Device(name="a", taints=[Taint(key="k", value="v", effect="NoExecute", time_added="2026-01-01T00:00:00Z")])
    spec = stored("00", "a", 1, 1).spec
    entry = ResourceSlice(
        metadata=ObjectMeta(name="00", owner_references=[OURS]),
        spec=ResourceSliceSpec(driver=spec.driver, pool=spec.pool, node_name=spec.node_name, devices=[old]),
    )
    same = SliceContent(name="00", devices=(Device(name="a", taints=[taint]),))
    assert plan_writes({"00": entry}, [same], OWNER, accepted={}, generation=1) == ()
    more = SliceContent(name="00", devices=(Device(name="a", taints=[taint]), Device(name="b", taints=[taint])))
    [write] = plan_writes({"00": entry}, [more], OWNER, accepted={}, generation=1)
    first, second = write.slice.spec.devices
    assert first.taints[0].time_added == "2026-01-01T00:00:00Z"
    assert not second.taints[0].time_added


def test_what_the_api_server_spells_differently_is_not_written_again() -> None:
    sent, kept = content("00", "a"), content("00", "b")
    current = {"00": stored("00", "b", 1, 1)}
    accepted = {"00": Accepted(sent=sent, stored=kept)}
    assert plan_writes(current, [sent], OWNER, accepted=accepted, generation=1) == ()
    assert plan_writes(current, [sent], OWNER, accepted={}, generation=1)
