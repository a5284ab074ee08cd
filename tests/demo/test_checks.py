"""The demo's own checks fail where they should."""

from __future__ import annotations

from typing import Any

import pytest
from hack.demo.checks import Checks, misplaced, mispredicted, overlaps, unvalidated
from hack.demo.examples import Example
from hack.demo.placements import Placement, Seen

MIG = Example(folder="mig-profile", pods=("a",), nodes=("n",), kind="mig")
PAIR = Example(folder="two-gpus", pods=("a",), nodes=("n",), kind="gpu", gpus=2)


def pod(name: str, *paths: str, kind: str = "gpu", node: str = "n", claim: str = "") -> Placement:
    """A pod with these nodes below /dev, on a claim of its own unless one is named."""
    seen = Seen(device_nodes=tuple(f"/dev/{path}" for path in paths), env={"PARTITA_GPU_0_KIND": kind})
    return Placement(
        pod=name,
        namespace="default",
        node=node,
        devices=("d",),
        what="",
        claims=(claim or f"claim-{name}",),
        sees={"main": seen},
    )


def caps(*numbers: int) -> tuple[str, ...]:
    return tuple(f"nvidia-caps/nvidia-cap{number}" for number in numbers)


@pytest.mark.parametrize(
    ("example", "found", "problem"),
    [
        (MIG, pod("a", "nvidia0", "nvidiactl", *caps(1, 2), kind="mig"), ""),
        (PAIR, pod("a", "nvidia0", "nvidia1", "nvidia-uvm"), ""),
        (PAIR, pod("b", "nvidia0", "nvidia1"), "does not run"),
        (PAIR, pod("a", "nvidia0", "nvidia1", node="m"), "is on m"),
        (PAIR, pod("a", "nvidia0"), "sees 1 GPUs instead of 2"),
        (PAIR, pod("a", "nvidia0", "nvidia1", kind="shared"), "was told of ['shared']"),
        (MIG, pod("a", "nvidia0", kind="mig"), "sees partitions ()"),
    ],
)
def test_an_example_in_the_wrong_place_is_named(example: Example, found: Placement, problem: str) -> None:
    problems = misplaced(example, {found.pod: found})
    assert len(problems) == bool(problem)
    assert problem in "".join(problems)


@pytest.mark.parametrize(
    ("pods", "problems"),
    [
        ((pod("a", "nvidia0"), pod("b", "nvidia1")), 0),
        ((pod("a", "nvidia0"), pod("b", "nvidia0", node="m")), 0),
        ((pod("a", "nvidia0", claim="c"), pod("b", "nvidia0", claim="c")), 0),
        ((pod("a", "nvidia0", kind="shared"), pod("b", "nvidia0", kind="shared")), 0),
        ((pod("a", "nvidia0", *caps(1), kind="mig"), pod("b", "nvidia0", *caps(2), kind="mig")), 0),
        ((pod("a", "nvidia0"), pod("b", "nvidia0")), 1),
        ((pod("a", "nvidia0"), pod("b", "nvidia0", "nvidia1", kind="group")), 1),
        ((pod("a", "nvidia0"), pod("b", "nvidia0", *caps(1), kind="mig")), 1),
        ((pod("a", "nvidia0", kind="shared"), pod("b", "nvidia0", *caps(1), kind="mig")), 1),
        ((pod("a", "nvidia0", *caps(1), kind="mig"), pod("b", "nvidia0", *caps(1), kind="mig")), 1),
    ],
)
def test_hardware_of_two_claims_is_noticed(pods: tuple[Placement, ...], problems: int) -> None:
    assert len(overlaps(pods)) == problems


def claim(device: str, **told: Any) -> dict[str, Any]:
    """A claim that was allocated one device, with what the driver told of it."""
    status = {"pool": "p", "device": device} | told
    allocation = {"devices": {"results": [{"pool": "p", "device": device}]}}
    return {"metadata": {"name": "c"}, "status": {"allocation": allocation, "devices": [status]}}


def ready(reason: str, status: str = "True") -> list[dict[str, str]]:
    return [{"type": "Ready", "status": status, "reason": reason}]


@pytest.mark.parametrize(
    ("claims", "problems"),
    [
        ([claim("d", conditions=ready("Validated"))], 0),
        ([claim("d", conditions=ready("Validated")), claim("d", conditions=ready("Prepared"))], 0),
        ([claim("d", conditions=ready("Prepared"))], 1),
        ([claim("d", conditions=ready("Validated", "False"))], 1),
        ([claim("d", conditions=ready("Validated"), pool="another")], 1),
        ([claim("d")], 1),
    ],
)
def test_a_device_that_nobody_validated_is_named(claims: list[dict[str, Any]], problems: int) -> None:
    assert len(unvalidated(claims)) == problems


def prediction(claim: str, result: str) -> dict[str, Any]:
    return {"claim_uid": claim, "pod": "p", "result": result, "predicted": ["x"], "actual": ["y"]}


@pytest.mark.parametrize(("result", "problem"), [("match", ""), ("mismatch", "['x'] was predicted, ['y'] allocated")])
def test_a_prediction_that_did_not_come_true_is_told(result: str, problem: str) -> None:
    assert problem in "".join(mispredicted([prediction("c", result)], ["c"]))
    assert bool(problem) == bool(mispredicted([prediction("c", result)], ["c"]))


def test_a_claim_without_a_prediction_is_told() -> None:
    assert mispredicted([], ["c"]) == ["nothing was predicted for claim c"]


def test_one_failed_check_is_enough_and_none_at_all_is_no_success() -> None:
    checks = Checks()
    assert not checks.ok
    checks.expect("one", "")
    assert checks.ok
    checks.expect("two", "came out otherwise")
    assert not checks.ok
