"""What counts as in use, and that the index kept over snapshots equals one made from scratch."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.wire.resource_claim import Allocation, ResourceClaim
from partita_scheduler.allocator.in_use import PoolId, PoolUse, UseIndex
from tests.scheduler.decision.fleet import allocated, claim

POOL = PoolId("d", "p")


def holding(name: str, *results: dict[str, Any]) -> ResourceClaim:
    body = {"devices": {"results": [{"request": "r", "driver": "d", "pool": "p", **one} for one in results]}}
    return allocated(claim(name), msgspec.convert(body, Allocation))


def test_whole_devices_shares_and_admin_access() -> None:
    claims = {
        ("n", "1"): holding("1", {"device": "x"}, {"device": "seen", "adminAccess": True}),
        ("n", "2"): holding("2", {"device": "y", "shareID": "s1", "consumedCapacity": {"m": "1Gi"}}),
        ("n", "3"): holding("3", {"device": "y", "shareID": "s2", "consumedCapacity": {"m": "512Mi"}}),
        ("n", "4"): claim("4"),
    }
    assert UseIndex().of(claims) == {
        POOL: PoolUse(frozenset({"x"}), {"y": {"m": Decimal(3 * 2**29)}}, frozenset({"y"}))
    }


results = st.fixed_dictionaries({"device": st.sampled_from("xyz"), "pool": st.sampled_from("pq")})
snapshots = st.lists(st.dictionaries(st.sampled_from("abcde"), st.lists(results, max_size=2), max_size=5), max_size=6)


@given(snapshots)
def test_an_index_kept_over_snapshots_equals_a_fresh_one(history: list[dict[str, list[dict[str, Any]]]]) -> None:
    kept = UseIndex()
    for moment in history:
        claims = {("n", name): holding(name, *held) for name, held in moment.items()}
        found = {pool: use for pool, use in kept.of(claims).items() if use.whole}
        assert found == UseIndex().of(claims)
