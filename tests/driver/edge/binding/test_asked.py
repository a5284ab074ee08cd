"""Which claims ask for a word before the bind, and the words that are written on them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from partita_driver.api.claim_status import ahead_status, device_status, status_patch
from partita_driver.binding.asked import failed_status, is_asked, own_results
from partita_plugins.errors import InvalidInput, Permanent, Retryable, ValidationFailed
from partita_plugins.wire import VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.binding.world import POOL, body
from tests.driver.edge.one_claim import DEVICE


def asked(*devices: str, said: dict[str, str] | None = None, **fields: Any) -> ResourceClaim:
    found = body(*devices, **fields)
    found["metadata"] |= {"uid": "uid-1", "resourceVersion": "7"}
    if said:
        entry = {"driver": "gpu.partita.dev", "pool": POOL, "device": devices[0]}
        found["status"]["devices"] = [
            {**entry, "conditions": [{"type": kind, "status": word} for kind, word in said.items()]}
        ]
    return msgspec.convert(found, ResourceClaim)


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [
        (asked("gpu-a"), True),
        (asked("gpu-a", said={VALIDATED_CONDITION: "False"}), True),
        (asked("gpu-a", said={VALIDATED_CONDITION: "True"}), False),
        (asked("gpu-a", said={VALIDATION_FAILED_CONDITION: "True"}), False),
        (asked("gpu-a", "gpu-b", said={VALIDATED_CONDITION: "True"}), True),
        (asked("gpu-a", said={"Ready": "True"}), True),
        (asked("gpu-a", bindingConditions=["example.com/attached"]), False),
        (asked("gpu-a", driver="gpu.example.com"), False),
        (asked("gpu-a", pool="gpu.partita.dev/node-b"), False),
        (asked(), False),
    ],
)
def test_a_claim_asks_until_each_of_its_devices_here_has_a_word(claim: ResourceClaim, wanted: bool) -> None:
    assert is_asked(claim, POOL) is wanted


def test_a_claim_that_is_being_deleted_asks_no_more() -> None:
    claim = asked("gpu-a")
    metadata = msgspec.structs.replace(claim.metadata, deletion_timestamp="2026-11-22T00:00:00Z")
    assert not is_asked(msgspec.structs.replace(claim, metadata=metadata), POOL)


def test_a_message_is_short_and_without_advice_on_the_pod() -> None:
    [entry] = failed_status(asked("gpu-a"), POOL, Permanent("x" * 2000, advice="delete the pod"))
    [said] = entry.conditions or []
    assert said.message == "x" * 512
    assert (said.type, said.status, said.reason) == (VALIDATION_FAILED_CONDITION, "True", "Refused")


def test_who_asked_for_what_cannot_be_is_told_what_to_do() -> None:
    [entry] = failed_status(asked("gpu-a"), POOL, InvalidInput("no such partition", advice="it has 1g and 3g"))
    assert [one.message for one in entry.conditions or []] == ["no such partition; it has 1g and 3g"]


def test_the_reason_is_the_most_special_word_for_an_error() -> None:
    for error, reason in (
        (ValidationFailed("bit 7"), "ValidationFailed"),
        (Retryable("busy"), "NotReadyInTime"),
        (Permanent("no"), "Refused"),
    ):
        [entry] = failed_status(asked("gpu-a"), POOL, error)
        assert [one.reason for one in entry.conditions or []] == [reason]


def test_the_status_after_prepare_keeps_the_condition_and_since_when_it_is_true() -> None:
    """Another pod of the claim would wait for it in vain."""
    results = own_results(asked(DEVICE.device), POOL)
    found = msgspec.to_builtins(asked(DEVICE.device))
    ahead = msgspec.to_builtins(ahead_status(DEVICE, results))
    ahead["conditions"][0]["lastTransitionTime"] = "2026-11-22T00:00:00Z"
    found["status"]["devices"] = [ahead]
    patch = status_patch(found, "uid-1", [device_status(DEVICE, results)])
    assert patch
    [entry] = patch["status"]["devices"]
    times = {one["type"]: one["lastTransitionTime"] for one in entry["conditions"]}
    assert times[VALIDATED_CONDITION] == "2026-11-22T00:00:00Z"
    assert times["Ready"] > times[VALIDATED_CONDITION]
