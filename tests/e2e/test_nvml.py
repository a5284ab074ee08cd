"""The driver on NVML: pynvml over the C library, and CDI edits of the real nvidia-ctk that the real runtime applies."""

from __future__ import annotations

import json

import pytest

from partita_plugins.backends.catalog import DRIVER_VERSION
from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import Lab, request
from tests.e2e.node import CDI, Node
from tests.e2e.nvml_node import DRIVER_ROOT

pytestmark = pytest.mark.nvml

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
MIG_3G = "mig-3g.gpu.partita.dev"


def test_a_container_has_the_driver_s_libraries_linked_as_programs_ask_for_them(lab: Lab) -> None:
    lab.claim("one", request())
    lab.pod("p", claim="one")
    lab.running("p")
    listed = lab.run_in("p", "ls", "-l", LIBRARIES)
    for library in ("libcuda.so", "libnvidia-ml.so"):
        assert f"{library}.{DRIVER_VERSION}" in listed, "mounted"
        assert f"{library}.1 -> {library}.{DRIVER_VERSION}" in listed, "linked by nvidia-cdi-hook"
    assert lab.inside("p").env["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "nvidia-smi" in lab.run_in("p", "ls", "/usr/bin")


def test_a_partition_of_nvml_is_the_one_on_the_hardware_and_leaves_nothing(lab: Lab, nodes: dict[str, Node]) -> None:
    lab.claim("one", request(device_class=MIG_3G))
    lab.pod("p", claim="one", node="node-a")
    lab.running("p")
    [instance] = nodes["node-a"].instances()
    [compute] = instance.compute_instances
    inside = lab.inside("p")
    assert inside.values("UUID") == [compute.mig_uuid]
    assert len(inside.caps) == 2
    assert len(inside.gpus) == 1
    lab.delete_pod("p")


def test_a_cdi_file_has_the_node_s_own_hooks_and_every_device_node_by_number(lab: Lab, nodes: dict[str, Node]) -> None:
    lab.claim("one", request(device_class=MIG_3G))
    lab.pod("p", claim="one", node="node-a")
    lab.running("p")
    [file] = nodes["node-a"].cdi_files()
    written = json.loads(nodes["node-a"].path(CDI, file).read_text())
    hooks = written["containerEdits"]["hooks"]
    assert {hook["path"] for hook in hooks} == {f"{DRIVER_ROOT}/usr/bin/nvidia-cdi-hook"}
    assert {"create-symlinks", "update-ldcache"} <= {hook["args"][1] for hook in hooks}
    assert "deviceNodes" not in written["containerEdits"]
    [device] = written["devices"]
    for node in device["containerEdits"]["deviceNodes"]:
        assert node["hostPath"].startswith(f"{DRIVER_ROOT}/dev/")
        assert (node["type"], node["permissions"]) == ("c", "rw")
        assert node["major"] > 0


def test_doctor_finds_nothing_in_the_way(lab: Lab, installation: Installation) -> None:
    pod = installation.driver_pod("node-a")
    report = json.loads(
        lab.kubectl("exec", "-n", SYSTEM, pod, "--", "partita-driver", "doctor", *_as_the_driver(lab, pod), "--json")
    )
    assert [finding for finding in report["findings"] if finding["weight"] == "blocks"] == []
    assert report["toolkit"]["mounts"] > 0
    assert len(report["gpus"]) == 8
    assert all("whole" in gpu["can_offer"] for gpu in report["gpus"])


def _as_the_driver(lab: Lab, pod: str) -> list[str]:
    """The options of the driver's own command line that doctor takes too."""
    read = json.loads(lab.kubectl("get", "pod", "-n", SYSTEM, pod, "-o", "json"))
    taken = ("--backend", "--driver-root", "--toolkit", "--state-dir", "--cdi-dir", "--plugin-dir", "--registry-dir")
    return [argument for argument in read["spec"]["containers"][0]["args"] if argument.startswith(taken)]
