"""Equal parts are one object, and no value is another than it was."""

from __future__ import annotations

import msgspec

from partita_plugins.wire.resource_claim import ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.cluster.interned import MAX_PARTS, Pool, claim_parts, slice_parts
from tests.scheduler.decision.fleet import holding, slices


def decoded(found: ResourceSlice) -> ResourceSlice:
    return msgspec.json.decode(msgspec.json.encode(found), type=ResourceSlice)


def test_two_equal_machines_share_all_but_their_identity() -> None:
    one, two = (slice_parts(decoded(slices(name, "hgx-h100")[1])) for name in ("a", "b"))
    assert [one, two] == [decoded(slices(name, "hgx-h100")[1]) for name in ("a", "b")]
    first, second = one.spec.devices[0], two.spec.devices[0]
    assert first.attributes["uuid"] != second.attributes["uuid"]
    assert first.attributes["product"] is second.attributes["product"]
    assert first.capacity is second.capacity
    assert first.consumes_counters is second.consumes_counters


def test_partitions_of_equal_machines_are_one_object() -> None:
    """A node has more than a hundred of them."""
    one, two = (slice_parts(decoded(slices(name, "hgx-h100")[2])).spec.devices for name in ("a", "b"))
    parts = [(a, b) for a, b in zip(one, two, strict=True) if a.attributes["type"].string == "mig"]
    assert parts
    assert all(a is b for a, b in parts)


def test_claims_of_one_template_share_their_spec() -> None:
    found = [holding(name, "a", f"gpu-{name}") for name in ("one", "two")]
    raw = [msgspec.json.encode(one) for one in found]
    one, two = (claim_parts(msgspec.json.decode(body, type=ResourceClaim)) for body in raw)
    assert [one, two] == found
    assert one.spec is two.spec


def test_what_is_remembered_is_bounded() -> None:
    pool = Pool()
    for number in range(MAX_PARTS + 10):
        pool.one(number, number)
    assert len(pool._parts) <= MAX_PARTS
