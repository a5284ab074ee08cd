"""The rows of hack/bench start, whose pods need the real cluster."""

from __future__ import annotations

from hack.benchmarks.start import Started, rows


def test_a_way_to_validate_is_compared_with_no_claim_and_with_no_validation() -> None:
    measured = {
        "none": {"none": [Started(1.0, "")] * 3, "gpu": [Started(seconds, "") for seconds in (1.5, 2.0, 9.0)]},
        "full": {"none": [Started(1.2, "")] * 3, "gpu": [Started(2.2, "prepare full")] * 3},
    }
    found = {(row["validation"], row["claim"]): row for row in rows(measured)}
    assert [found["none", "gpu"][key] for key in ("p50_seconds", "added_p50_seconds", "ratio")] == [2.0, 1.0, 1.0]
    assert [found["full", "gpu"][key] for key in ("p50_seconds", "added_p50_seconds", "ratio")] == [2.2, 1.0, 1.1]
    assert found["full", "gpu"]["depths"] == {"prepare full": 3}


def test_without_pods_that_are_not_validated_there_is_no_ratio() -> None:
    [row] = rows({"bind": {"none": [Started(1.0, "")]}})
    assert row["ratio"] is None
