"""The traces as read and played, and that the benchmark's choices are the extender's."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hack.benchmarks.__main__ import main
from hack.benchmarks.openb.cluster import Cluster
from hack.benchmarks.openb.partita import Partita
from hack.benchmarks.openb.trace import Trace, TraceNode, TracePod, arrivals, read

from partita_plugins.contracts import PodShape, Workload
from partita_plugins.model.offer import Offer
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.decision import decide
from tests.scheduler.decision.fleet import allocated, claim, exactly, pod, slices, view, with_claims

PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
b,2000,1024,1,500,
a,4000,1024,1,1000,T4|V100
c,1000,1024,0,0,
"""
NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"node-{i},32000,65536,{2 + i},T4\n" for i in range(3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "openb_node_list_gpu_node.csv").write_text(NODES)
    (tmp_path / "openb_pod_list_tiny.csv").write_text(PODS)
    return tmp_path


def bench(*arguments: object) -> str:
    done = CliRunner().invoke(main, ["openb", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_policy_has_a_row_for_every_seed(folder: Path) -> None:
    rows = [json.loads(line) for line in bench("--data", folder, "--seeds", 2, "--json").splitlines()]
    assert [(row["trace"], row["policy"], row["seed"]) for row in rows] == [
        ("tiny", policy, seed) for policy in ("partita", "fgd", "bestfit") for seed in (42, 43)
    ]
    assert all(row["bench"] == "openb" and 0 <= row["unallocated_percent"] < 50 for row in rows)


def test_a_table_has_means_and_the_plot_a_line_for_each(folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "curves.svg"
    table = bench("--data", folder, "--policy", "fgd", "--seeds", 2, "--plot", picture).splitlines()
    assert table[0].split() == ["bench", "trace", "policy", "seeds", "unallocated_percent", "deviation"]
    assert len(table) == 2
    assert "tiny fgd" in picture.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trace", "other"], "there are: tiny"),
        (["--data", "/"], "give the folder with the CSV files"),
    ],
)
def test_a_wrong_trace_or_folder_is_told_with_what_to_do(folder: Path, arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["openb", "--data", str(folder), "--trace", "tiny", *arguments])
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_pods_are_read_by_name_with_their_products(folder: Path) -> None:
    first, second, third = read(folder, "tiny").pods
    assert first.shape == PodShape(cpu_milli=4000, gpus=1, products=frozenset({"T4", "V100"}))
    assert second.shape == PodShape(cpu_milli=2000, gpus=1, gpu_milli=500)
    assert third.shape == PodShape(cpu_milli=1000)


@pytest.mark.parametrize("gpus", [1, 100])
def test_pods_arrive_until_130_percent_are_asked_for(gpus: int) -> None:
    """Drawn again where the trace has fewer, left out where it has more."""
    nodes = (TraceNode("n", 1, 1, gpus, "T4"),)
    trace = Trace(nodes, tuple(TracePod(PodShape(gpus=1, gpu_milli=100 + i), 1) for i in range(50)))
    asked = sum(one.gpu_milli for one in arrivals(trace, 42))
    assert 1.3 * trace.gpu_milli - 150 < asked <= 1.3 * trace.gpu_milli


SIZES = {250: "20Gi", 500: "40Gi"}
"""Of the 80 GiB of a GPU."""

EXPECTED = Workload(
    (
        (PodShape(gpus=1), 30),
        (PodShape(gpus=2), 10),
        (PodShape(gpus=8), 5),
        (PodShape(gpus=1, gpu_milli=250), 20),
        (PodShape(gpus=1, gpu_milli=500), 30),
    )
)


@pytest.mark.parametrize("seed", range(3))
def test_the_benchmark_chooses_nodes_and_gpus_as_the_extender_does(seed: int) -> None:
    """Pod after pod on three machines, through slices and claims on one side, through arrays on the other."""
    names = ["a", "b", "c"]
    offer = Offer(whole=True, shared=True)
    machines = {name: slices(name, "dgx-a100-80", offer) for name in names}
    fleet: ClusterView = view(machines)
    cluster = Cluster.of([TraceNode(name, 10**6, 10**6, 8, "") for name in names])
    policy = Partita(cluster, Trace((), ()))
    policy.learn(EXPECTED)
    draw = random.Random(seed)
    for number in range(40):
        shape = draw.choice([one for one, _ in EXPECTED.counts if one.gpus < 8])
        name = f"pod-{number}"
        request = exactly(count=shape.gpus)
        if shape.gpu_milli in SIZES:
            request = exactly(kind="shared", capacity={"requests": {"memory": SIZES[shape.gpu_milli]}})
        asked = claim(name, request)
        fleet = with_claims(fleet, asked)
        found = decide(replace(fleet, workload=EXPECTED), pod(name, uid=name), names)
        chosen = policy.choose(TracePod(shape, 0))
        if chosen is None:
            assert found.order == ()
            continue
        node, gpus = chosen
        assert found.order[0] == names[node]
        allocations = found.verdicts[names[node]].allocations
        assert allocations is not None
        slots = {int(slot) for slot in np.flatnonzero(gpus)}
        assert {slot_of(machines[names[node]], one.device) for one in allocations[name].devices.results} == slots
        cluster.place(TracePod(shape, 0), node, gpus)
        fleet = with_claims(fleet, allocated(asked, allocations[name]))


def slot_of(published: tuple[ResourceSlice, ...], device: str) -> int | None:
    """The GPU of a device."""
    return next(one.attributes["slot"].int_ for some in published for one in some.spec.devices if one.name == device)
