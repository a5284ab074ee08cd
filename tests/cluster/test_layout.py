"""Ports, names and folders."""

from pathlib import Path

import pytest
from hack.realcluster.layout import (
    MAX_NODES,
    PORTS_PER_CLUSTER,
    Layout,
    Ports,
    cache_folder,
    default_layout,
    node_names,
)
from hack.realcluster.node_paths import missing_mount_points, node_paths, outside


def test_no_port_is_used_twice() -> None:
    ports = Ports(20000).all(MAX_NODES)
    assert len(ports) == len(set(ports))


def test_a_cluster_stays_within_its_span_of_ports() -> None:
    ports = Ports(20000).all(MAX_NODES)
    assert min(ports) >= 20000
    assert max(ports) < 20000 + PORTS_PER_CLUSTER


def test_neighbouring_clusters_have_different_pod_networks() -> None:
    assert Ports(16440).pod_network != Ports(16440 + PORTS_PER_CLUSTER).pod_network


def test_a_control_plane_alone_has_no_nodes_and_no_nodes_ports() -> None:
    assert node_names(0) == ()
    ports = Ports(20000)
    control = {ports.etcd, ports.etcd_peer, ports.api_server, ports.controller_manager, ports.scheduler}
    assert set(ports.all(0)) == control


def test_nodes_are_named_by_letter() -> None:
    assert node_names(3) == ("node-a", "node-b", "node-c")
    assert node_names(MAX_NODES)[-1] == "node-z"


def test_the_environment_moves_the_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARTITA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PARTITA_CLUSTER_DIR", raising=False)
    assert cache_folder() == tmp_path / "cache"
    assert default_layout().root == tmp_path / "cache" / "cluster"
    monkeypatch.setenv("PARTITA_CLUSTER_DIR", str(tmp_path / "mine"))
    assert default_layout().root == tmp_path / "mine"


def test_two_clusters_have_two_names() -> None:
    assert Layout(Path("/one")).name != Layout(Path("/two")).name


def test_a_path_inside_a_node_lies_below_its_folder_by_its_own_name() -> None:
    paths = {path.inside: path.source for path in node_paths(Path("/nodes/node-a"), ("/opt/extra",))}
    assert paths["/var/run/cdi"] == Path("/nodes/node-a/var/run/cdi")
    assert paths["/var/lib/kubelet"] == outside(Path("/nodes/node-a"), "/var/lib/kubelet")
    assert paths["/opt/extra"] == Path("/nodes/node-a/opt/extra")


def test_missing_folders_are_named_once_and_outermost_first(tmp_path: Path) -> None:
    first, second = str(tmp_path / "a" / "b"), str(tmp_path / "a" / "c")
    assert missing_mount_points((first, second, str(tmp_path))) == (str(tmp_path / "a"), first, second)
