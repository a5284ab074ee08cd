"""Random small pools: the search against brute force, and what must never happen."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import PoolUse
from tests.scheduler.decision.small import allocate, counters, device, plan, request, slice_of, string

KINDS, ISLANDS = ("x", "y"), ("1", "2")
TOTALS = {"a": 2, "b": 2}

devices = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(KINDS),
            "island": st.sampled_from((*ISLANDS, None)),
            "consumes": st.fixed_dictionaries({"a": st.integers(0, 2), "b": st.integers(0, 2)}),
            "tainted": st.booleans(),
        }
    ),
    max_size=6,
)
requests = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from((*KINDS, None)), "count": st.integers(1, 2), "claim": st.booleans()}
    ),
    min_size=1,
    max_size=3,
)


def published(found: list[dict[str, Any]], split: int) -> list[ResourceSlice]:
    devices = [
        device(
            f"d{i}",
            {name: n for name, n in one["consumes"].items() if n},
            **string(kind=one["kind"], **({"island": one["island"]} if one["island"] else {})),
            taints=[{"key": "t", "effect": "NoSchedule"}] if one["tainted"] else [],
        )
        for i, one in enumerate(found)
    ]
    parts = [slice_of("s1", *devices[:split], count=3), slice_of("s2", *devices[split:], count=3)]
    return [counters(count=3, a=TOTALS["a"], b=TOTALS["b"]), *parts]


def wanted(one: dict[str, Any], name: str) -> dict[str, Any]:
    if one["kind"] is None:
        return request(name, count=one["count"])
    expression = f'device.attributes["dev.example.com"].kind == "{one["kind"]}"'
    return request(name, count=one["count"], selectors=[{"cel": {"expression": expression}}])


def consumed(found: list[dict[str, Any]], chosen: set[int]) -> dict[str, int]:
    return {name: sum(found[i]["consumes"][name] for i in chosen) for name in TOTALS}


def brute_force(
    found: list[dict[str, Any]], asked: list[list[dict[str, Any]]], used: set[int], matched: bool
) -> list[list[str]] | None:
    """The first of all products of ordered combinations that breaks no rule."""
    flat = [(c, one) for c, claim in enumerate(asked) for one in claim]
    overdrawn = any(consumed(found, used)[name] > total for name, total in TOTALS.items())
    choices = []
    for _, one in flat:
        usable = [
            i
            for i, d in enumerate(found)
            if i not in used
            and not d["tainted"]
            and one["kind"] in {None, d["kind"]}
            and not (overdrawn and any(d["consumes"].values()))
        ]
        choices.append(list(combinations(usable, one["count"])))
    for solution in product(*choices):
        picks = [i for part in solution for i in part]
        total = consumed(found, used | set(picks))
        counted = [i for i in picks if any(found[i]["consumes"].values())]
        islands = {found[i]["island"] for (c, _), part in zip(flat, solution, strict=True) if c == 0 for i in part}
        if (
            len(set(picks)) == len(picks)
            and (not counted or all(total[name] <= TOTALS[name] for name in TOTALS))
            and (not matched or not islands or (len(islands) == 1 and None not in islands))
        ):
            claims: list[list[str]] = [[] for _ in asked]
            for (c, _), part in zip(flat, solution, strict=True):
                claims[c] += [f"d{i}" for i in part]
            return claims
    return None


@settings(max_examples=300)
@given(devices, requests, st.integers(0, 6), st.sets(st.integers(0, 5), max_size=3), st.booleans())
def test_the_search_finds_the_first_solution_of_brute_force(
    found: list[dict[str, Any]],
    asked: list[dict[str, Any]],
    split: int,
    used: set[int],
    matched: bool,
) -> None:
    claims = [part for part in ([a for a in asked if a["claim"]], [a for a in asked if not a["claim"]]) if part]
    used = {i for i in used if i < len(found)}
    constraints = [{"matchAttribute": "dev.example.com/island"}] if matched else []
    plans = [
        plan(*(wanted(one, f"r{i}") for i, one in enumerate(claim)), constraints=constraints if c == 0 else [])
        for c, claim in enumerate(claims)
    ]
    use = PoolUse(frozenset(f"d{i}" for i in used))
    expected = brute_force(found, claims, used, matched)
    assert allocate(published(found, split), *plans, use=use, steps=100_000) == expected


@settings(max_examples=200)
@given(devices, st.lists(requests, max_size=6))
def test_nothing_is_ever_given_twice(found: list[dict[str, Any]], pods: list[list[dict[str, Any]]]) -> None:
    """Pod after pod, each seeing what the earlier ones hold: no device twice, no counter below zero."""
    held: set[str] = set()
    for asked in pods:
        plans = [plan(*(wanted(one, f"r{i}") for i, one in enumerate(asked)))]
        result = allocate(published(found, 3), *plans, use=PoolUse(frozenset(held)), steps=100_000)
        for name in result[0] if result else ():
            assert name not in held
            held.add(name)
        total = consumed(found, {int(name[1:]) for name in held})
        assert all(total[name] <= TOTALS[name] for name in TOTALS)
