"""The benchmarks themselves, made small: the real driver process, and the keys that readers of the JSON rely on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hack.benchmarks.__main__ import main
from hack.benchmarks.validation.law import Law

from partita_plugins.testing.apiserver import ApiServer


def run(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_prepare_measures_both_verbs_alone_and_at_once() -> None:
    rows = run("prepare", "--concurrency", "4", "--gpus", "2", "--create-seconds", "0.05")
    found = {(row["verb"], row["mode"]): row for row in rows}
    assert list(found) == [
        ("prepare", "alone"),
        ("unprepare", "alone"),
        ("prepare", "concurrent"),
        ("unprepare", "concurrent"),
    ]
    for row in rows:
        assert (row["bench"], row["claims"], row["gpus"]) == ("prepare", 4, 2)
        assert (row["parallel_bound_seconds"], row["serial_bound_seconds"]) == (0.25, 0.5)
        assert row["parallel_bound_seconds"] <= row["seconds"]
        assert 0 < row["p50_seconds"] <= row["p99_seconds"] <= row["seconds"]


def test_soak_goes_through_every_kind_of_claim_and_tells_what_the_process_holds() -> None:
    [row] = run("soak", "--cycles", "100", "--warm-up", "36", "--allow-mib", "200")
    assert (row["bench"], row["cycles"], row["flat"]) == ("soak", 100, True)
    assert all(row[kind] for kind in ("whole", "mig_1g", "mig_3g", "shared", "no_such_device", "replaced", "broken"))
    for what in ("rss_mib", "fds", "threads"):
        assert row[f"{what}_start"] > 0
        assert row[f"{what}_end"] > 0
    assert row["seconds"] > 0
    assert row["journal_bytes"] > 0


def test_topology_finds_the_best_set_of_every_size() -> None:
    rows = run("topology", "--machine", "dgx-1v", "--jobs", "20", "--seeds", "1")
    assert {row["policy"] for row in rows} == {"lowest", "greedy", "partita"}
    for row in rows:
        assert (row["bench"], row["machine"], row["gpus"] in range(2, 6)) == ("topology", "dgx-1v", True)
        assert 0 < row["bandwidth"] <= row["best_bandwidth"]
        assert 0 < row["p50_seconds"] <= row["seconds"]
    assert all(row["bandwidth"] == row["best_bandwidth"] for row in rows if row["policy"] == "partita")


def test_watch_counts_what_every_node_is_sent(tmp_path: Path) -> None:
    with ApiServer() as server:
        kubeconfig = str(server.write_kubeconfig(tmp_path / "kubeconfig"))
        load = ("--nodes", "3", "--rate", "10", "--seconds", "1")
        rows = run("watch", *load, "--kubeconfig", kubeconfig, "--pid", str(os.getpid()))
        assert server.list("ResourceClaim").items == []
    found = {row["mode"]: row for row in rows}
    assert list(found) == ["none", "all", "label"]
    assert found["none"]["sent_mib_per_second"] == 0
    assert found["none"]["times_baseline"] == 1
    assert found["all"]["kib_per_node_and_claim"] == pytest.approx(
        3 * found["label"]["kib_per_node_and_claim"], rel=0.2
    )
    assert found["all"]["driver_microseconds_per_event"] > 0
    for row in rows:
        assert 0 < row["write_p50_seconds"] <= row["write_p99_seconds"]


def test_validate_tells_of_every_planted_fault_and_method_and_of_the_law() -> None:
    rows = run(
        *("validate", "--faults", "1", "--fault", "short-memory", "--fault", "nan", "--machine", "a30-x4"),
        *("--memory-mib", "2", "--law-faults", "10", "--sound-runs", "1"),
    )
    planted = [row for row in rows if row["bench"] == "validate"]
    assert {(row["fault"], row["method"]) for row in planted} == {
        (fault, method)
        for fault in ("short-memory", "nan")
        for method in ("partita", "vector-add", "isfinite", "epsilon")
    }
    assert all(row["found"] == (row["method"] == "partita") for row in planted)
    assert all(0 < row["coverage"] <= 1 for row in planted)
    [sound], laws, [idle] = ([row for row in rows if row["bench"] == f"validate-{n}"] for n in ("sound", "law", "idle"))
    assert (sound["runs"], sound["false_alarms"]) == (1, 0)
    assert [(row["depth"], row["faults"], row["holds"]) for row in laws] == [("full", 10, True), ("quick", 10, True)]
    assert idle["covered"] == 1.0


def test_validate_fails_where_what_is_found_is_not_what_was_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hack.benchmarks.validate.law", lambda *_: Law(faults=10, found=1, coverage=0.9))
    done = CliRunner().invoke(
        main,
        [
            "validate",
            "--faults",
            "0",
            "--sound-runs",
            "0",
            "--law-faults",
            "10",
            "--machine",
            "a30-x4",
            "--memory-mib",
            "2",
        ],
    )
    assert done.exit_code == 1
    assert "1 of 10 faults were found, 6 to 10 should have been" in done.output


def test_validate_says_which_compiler_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = CliRunner().invoke(main, ["validate", "--memory-mib", "2"])
    assert done.exit_code == 1
    assert "apt-get install -y g++" in done.output


def test_latency_refuses_to_ask_for_more_devices_than_the_fleet_has() -> None:
    done = CliRunner().invoke(main, ["latency", "--nodes", "230", "--rounds", "300"])
    assert done.exit_code == 2
    assert "600 pods want 1500 devices of a fleet with 920 free GPUs" in done.output
    assert "ask for fewer --rounds, or for more --nodes" in done.output


@pytest.mark.parametrize(("preset", "verbs"), [("sole", ["choose"]), ("strong", ["filter", "prioritize"])])
def test_latency_asks_both_extenders_in_every_state_and_partita_has_an_opinion(preset: str, verbs: list[str]) -> None:
    rows = run("latency", "--nodes", "20", "--rounds", "4", "--used", "0.2", "--preset", preset)
    assert {(row["target"], row["verb"], row["state"]) for row in rows} == {
        (target, verb, state)
        for target in ("noop", "partita")
        for verb in verbs
        for state in ("cold", "warm", "churn", "plain")
    }
    for row in rows:
        assert (row["bench"], row["nodes"]) == ("latency", 20)
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["cpu_ms"] >= 0
        assert row["rss_mib"] > 10
