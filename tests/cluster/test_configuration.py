"""The files and commands of the components."""

import json
import tomllib
from pathlib import Path

import pytest
from hack.realcluster import modules
from hack.realcluster.certificates import identities
from hack.realcluster.control_plane import ControlPlane
from hack.realcluster.images import PAUSE_IMAGE
from hack.realcluster.layout import Layout, Ports
from hack.realcluster.node import Node, cni_config, containerd_config, kubelet_config

LAYOUT = Layout(Path("/cluster"))
PORTS = Ports(20000)


def control_plane(version: str) -> ControlPlane:
    return ControlPlane(LAYOUT, PORTS, version, ("Extra=true",))


@pytest.mark.parametrize("version", modules.VERSIONS)
def test_everything_listens_on_loopback_only(version: str) -> None:
    plane = control_plane(version)
    for component in (plane.api_server(), plane.controller_manager(), plane.scheduler()):
        assert "--bind-address=127.0.0.1" in component.command
    assert all("127.0.0.1" in flag for flag in plane.etcd().command if "urls" in flag)
    kubelet = json.loads(kubelet_config(LAYOUT, "node-a", PORTS.node(0)))
    assert kubelet["address"] == kubelet["healthzBindAddress"] == "127.0.0.1"


def test_the_gate_that_1_36_leaves_off_is_on_everywhere() -> None:
    plane = control_plane("1.36")
    wanted = "--feature-gates=DRADeviceTaintRules=true,Extra=true"
    for component in (plane.api_server(), plane.controller_manager(), plane.scheduler()):
        assert wanted in component.command
    node = Node("node-a", 0, PORTS.node(0), PORTS.pod_network, LAYOUT, plane.gates)
    assert wanted in node.kubelet().command


def test_no_empty_flag_is_passed_when_no_gate_differs() -> None:
    assert ControlPlane(LAYOUT, PORTS, "1.37").gates == ()


def test_a_nodes_processes_run_in_its_namespace() -> None:
    node = Node("node-b", 1, PORTS.node(1), PORTS.pod_network, LAYOUT)
    assert {node.kubelet().node, node.containerd().node} == {"node-b"}
    assert node.holder == "namespace-node-b"


def test_the_kubelet_serves_and_proves_itself_with_the_clusters_authority() -> None:
    kubelet = json.loads(kubelet_config(LAYOUT, "node-a", PORTS.node(0)))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authentication"]["x509"] == {"clientCAFile": "/cluster/pki/ca.crt"}
    assert kubelet["failCgroupV1"] is False


def test_containerd_keeps_to_the_standard_paths_and_the_loaded_sandbox_image() -> None:
    config = tomllib.loads(containerd_config("/usr/sbin/runc", "/usr/lib/cni"))
    assert (config["root"], config["state"]) == ("/var/lib/containerd", "/run/containerd")
    plugins = config["plugins"]
    assert plugins["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == PAUSE_IMAGE
    runtime = plugins["io.containerd.cri.v1.runtime"]
    assert runtime["cdi_spec_dirs"] == ["/var/run/cdi"]
    assert runtime["cni"]["bin_dirs"] == ["/usr/lib/cni"]
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/usr/sbin/runc"


def test_each_node_has_a_pod_network_of_its_own() -> None:
    subnets = {
        json.loads(cni_config("10.200", index))["plugins"][0]["ipam"]["ranges"][0][0]["subnet"] for index in range(3)
    }
    assert subnets == {"10.200.0.0/24", "10.200.1.0/24", "10.200.2.0/24"}


def test_a_kubelets_certificate_names_its_node_as_the_node_authorizer_expects() -> None:
    found = {identity.name: identity for identity in identities(("node-a",))}
    assert found["kubelet-node-a"].subject == "/O=system:nodes/CN=system:node:node-a"
    assert "IP:127.0.0.1" in found["kube-apiserver"].addresses


@pytest.mark.parametrize("version", modules.VERSIONS)
def test_programs_carry_the_version_that_go_mod_pins(version: str) -> None:
    flags = " ".join(modules.kubernetes(version).flags)
    assert f"gitVersion=v{version}." in flags
    assert f"gitMinor={version.split('.')[1]}" in flags


def test_the_cache_key_follows_flags_and_source() -> None:
    keys = {modules.by_name(name).key for name in ("etcd", "containerd", "kwok", "kubernetes-1.36", "kubernetes-1.37")}
    assert len(keys) == 5
    etcd = modules.etcd()
    assert modules.Module(etcd.name, etcd.packages, (*etcd.flags, "-x"), etcd.output).key != etcd.key


def test_pinned_modules_name_no_registry_and_no_folder() -> None:
    for file in modules.MODULES.glob("*/go.*"):
        text = file.read_text()
        assert "://" not in text
        assert "=> /" not in text
        assert "=> ." not in text
