"""What is remembered of a cluster, and what is said about one."""

from pathlib import Path

import pytest
from hack.realcluster import cgroups, load_image, state, status
from hack.realcluster.errors import ClusterError
from hack.realcluster.layout import Layout
from hack.realcluster.readiness import takes_pods
from hack.realcluster.state import State

ASKED = State("1.37", 2, 20000, ("A=true",), ("/opt/x",))


def test_a_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = State("1.36", 3, 20000, ("A=true",), ("/opt/x",), made_folders=("/etc/cni",)).at(state.READY)
    state.save(Layout(tmp_path), saved)
    assert state.load(Layout(tmp_path)) == saved


def test_there_is_no_state_before_the_first_start(tmp_path: Path) -> None:
    assert state.load(Layout(tmp_path)) is None


def test_how_far_a_cluster_came_is_not_part_of_what_was_asked() -> None:
    assert ASKED.asked_as(State("1.37", 2, 20000, ("A=true",), ("/opt/x",), state.READY, ("/etc/cni",)))
    assert not ASKED.asked_as(State("1.36", 2, 20000, ("A=true",), ("/opt/x",)))


def test_a_folder_without_a_cluster_says_how_to_start_one(tmp_path: Path) -> None:
    values = status.status(Layout(tmp_path))
    assert values["phase"] == status.NOT_RUNNING
    assert "hack/cluster up" in status.render(values)


def test_a_folder_whose_cluster_was_killed_says_how_to_clean_up(tmp_path: Path) -> None:
    state.save(Layout(tmp_path), ASKED)
    values = status.status(Layout(tmp_path))
    assert values["phase"] == status.BROKEN
    assert "hack/cluster down" in status.render(values)


@pytest.mark.parametrize(
    ("ready", "effect", "expected"),
    [("True", None, True), ("False", None, False), ("True", "NoExecute", False), ("True", "PreferNoSchedule", True)],
)
def test_a_node_takes_pods_when_ready_and_not_tainted(ready: str, effect: str | None, expected: bool) -> None:
    taints = [{"key": "k", "effect": effect}] if effect else []
    node = {"spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}
    assert takes_pods(node) is expected


def test_cgroups_are_looked_for_in_both_versions() -> None:
    table = "tmpfs / tmpfs rw 0 0\ncgroup /c/cpu cgroup rw 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n"
    assert list(cgroups.parents(table)) == [Path("/c/cpu/k8s.io"), Path("/c/unified/k8s.io")]


def test_containers_are_found_in_every_nodes_folder(tmp_path: Path) -> None:
    for node, name in (("node-a", "one"), ("node-b", "two")):
        (tmp_path / node / "run/containerd/io.containerd.runtime.v2.task/k8s.io" / name).mkdir(parents=True)
    assert sorted(cgroups.container_names(tmp_path)) == ["one", "two"]


@pytest.mark.parametrize("names", [("app:1",), ("library/app:1",), ()])
def test_an_image_that_no_kubelet_would_find_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ClusterError, match="oci-archive"):
        load_image.usable(names, Path("app.tar"))


@pytest.mark.parametrize("name", ["partita.dev/app:1", "localhost/app:1", "localhost:5000/app:1"])
def test_an_image_with_a_registry_is_taken(name: str) -> None:
    assert load_image.usable((name,), Path("app.tar")) == (name,)
