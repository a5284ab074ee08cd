"""MPS daemons as pods: what is made, what is asked of the node's program, what is left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from partita_driver.mps import keeper
from partita_driver.mps.control import PROGRAM
from partita_driver.mps.daemons import CLAIM_LABEL
from partita_driver.mps.keeper import DaemonStarting, Mps
from partita_driver.mps.manifest import environment, pod_name
from partita_driver.mps.pods import MpsPods
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.model.steps import RunMpsDaemon
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.nvml.build import build_mps_control
from tests.driver.edge.worlds import NODE, api_server

SYSTEM = "partita-system"
UID = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
GPU = "GPU-11111111-2222-3333-4444-555555555555"
STEP = RunMpsDaemon(GPU, memory_mib=10240, active_thread_percentage=25)
IMAGE = "registry.example/partita:7"


@dataclass
class World:
    """A node with NVIDIA's program in a root of its own, and an API server that has the driver's pod."""

    server: ApiServer
    api: KubeApi
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def pods(self, **fields: Any) -> MpsPods:
        known = {"node_name": NODE, "namespace": SYSTEM, "own_pod": "driver", "driver_root": self.root}
        return MpsPods(self.api, **{**known, **fields})

    def mps(self, **fields: Any) -> Mps:
        return Mps(self.pods(**fields), self.folder / "mps")

    def made(self) -> dict[str, Any]:
        found: dict[str, Any] = self.server.get("pods", pod_name(UID), SYSTEM)
        return found

    def names(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.server.list("pods", SYSTEM)}

    @contextmanager
    def daemon(self) -> Iterator[Path]:
        """What the kubelet would run, outside of a container; gives the file with what it was told."""
        [container] = self.made()["spec"]["containers"]
        folders = self.mps().folders(UID)
        places = {"CUDA_MPS_PIPE_DIRECTORY": str(folders.pipe), "CUDA_MPS_LOG_DIRECTORY": str(folders.log)}
        command = [str(self.root / PROGRAM), *container["command"][3:]]
        with subprocess.Popen(command, env={**os.environ, **places}) as running:
            try:
                yield folders.log / "settings"
            finally:
                running.terminate()


@pytest.fixture
def world(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(keeper, "WAIT_SECONDS", 0.0)
    program = short_path / "root" / PROGRAM
    program.parent.mkdir(parents=True)
    shutil.copy2(build_mps_control(), program)
    with api_server(short_path) as (server, api):
        spec = {
            "nodeName": NODE,
            "containers": [{"name": "driver", "image": IMAGE, "imagePullPolicy": "Never"}],
            "imagePullSecrets": [{"name": "registry"}],
        }
        server.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "driver"}, "spec": spec}, namespace=SYSTEM
        )
        yield World(server, api, short_path)


def awaited(mps: Mps) -> None:
    """As the kubelet: Prepare until the daemon answers."""
    mps.make_folders(UID)
    with pytest.raises(DaemonStarting):
        mps.run(UID, STEP)


def test_the_pod_is_bound_to_this_node_in_the_drivers_image_without_a_token(world: World) -> None:
    mps = world.mps()
    mps.make_folders(UID)
    with pytest.raises(DaemonStarting, match=r"does not answer yet \(Pending\).*kubectl get pods"):
        mps.run(UID, STEP)
    made = world.made()
    spec, [container] = made["spec"], made["spec"]["containers"]
    assert made["metadata"]["labels"][CLAIM_LABEL] == UID
    assert (spec["nodeName"], spec["restartPolicy"], spec["automountServiceAccountToken"]) == (NODE, "Always", False)
    assert (container["image"], container["imagePullPolicy"]) == (IMAGE, "Never")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    hosts = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one}
    folders = mps.folders(UID)
    assert hosts == {
        "driver-root": str(world.root),
        "pipe": str(folders.pipe),
        "log": str(folders.log),
        "shm": str(folders.shm),
    }


def test_a_daemon_that_answers_is_told_its_limits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mps = world.mps()
    awaited(mps)
    monkeypatch.setattr(keeper, "WAIT_SECONDS", 20.0)
    with world.daemon() as settings:
        mps.run(UID, STEP)
        assert settings.read_text().splitlines() == [
            "set_default_active_thread_percentage 25",
            f"set_default_device_pinned_mem_limit {GPU} 10240M",
        ]
    assert not mps.keep(UID, STEP)


def test_a_daemon_without_limits_is_asked_something_that_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    awaited(world.mps())
    monkeypatch.setattr(keeper, "WAIT_SECONDS", 20.0)
    with world.daemon() as settings:
        world.mps().run(UID, RunMpsDaemon(GPU))
        assert settings.read_text() == ""


def test_limits_are_in_the_pod_too_for_a_daemon_that_begins_anew(world: World) -> None:
    awaited(world.mps())
    [container] = world.made()["spec"]["containers"]
    told = {entry["name"]: entry["value"] for entry in container["env"]}
    assert told["CUDA_VISIBLE_DEVICES"] == GPU
    assert told["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=10240M"
    assert told["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    unlimited = environment(world.mps()._daemon(UID, RunMpsDaemon(GPU)))
    assert not unlimited.keys() & {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"}


def test_a_pod_that_is_there_is_left_as_it_is(world: World) -> None:
    awaited(world.mps())
    before = world.made()
    awaited(world.mps())
    assert world.made() == before


def test_why_a_pod_does_not_run_is_told(world: World) -> None:
    awaited(world.mps())
    waiting = [{"name": "mps", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    world.server.patch("pods", pod_name(UID), {"status": {"containerStatuses": waiting}}, SYSTEM, subresource="status")
    with pytest.raises(DaemonStarting, match="ImagePullBackOff"):
        world.mps().run(UID, STEP)


def test_stopping_waits_for_the_kubelet_and_nothing_new_starts_meanwhile(world: World) -> None:
    mps = world.mps()
    awaited(mps)
    with pytest.raises(Retryable, match="still ending"):
        mps.stop(UID)
    with pytest.raises(Retryable, match="still ending"):
        mps.run(UID, STEP)
    world.server.delete("pods", pod_name(UID), SYSTEM, grace_seconds=0)
    mps.stop(UID)
    assert world.names() == {"driver"}


def test_a_pod_that_was_evicted_makes_room_for_another(world: World) -> None:
    awaited(world.mps())
    evicted = world.made()["metadata"]["uid"]
    world.server.patch("pods", pod_name(UID), {"status": {"phase": "Failed"}}, SYSTEM, subresource="status")
    with pytest.raises(Retryable, match="still ending"):
        world.mps().run(UID, STEP)
    awaited(world.mps())
    assert world.made()["metadata"]["uid"] != evicted


def test_only_daemons_of_this_node_are_found(world: World) -> None:
    awaited(world.mps())
    assert world.mps().found() == {UID}
    assert world.pods(node_name="elsewhere").running() == frozenset()


def test_a_node_without_nvidias_program_says_what_to_install(world: World) -> None:
    mps = world.mps(driver_root=Path("/nowhere"), host_root=world.folder)
    mps.make_folders(UID)
    with pytest.raises(Permanent, match=r"no /usr/bin/nvidia-cuda-mps-control under /nowhere.*install NVIDIA's driver"):
        mps.run(UID, STEP)
    assert world.names() == {"driver"}


def test_the_operators_driver_container_has_it_too(world: World) -> None:
    host = world.folder / "host"
    (host / "run/nvidia").mkdir(parents=True)
    (host / "run/nvidia/driver").symlink_to(world.root)
    awaited(world.mps(driver_root=Path("/"), host_root=host))
    volumes = {one["name"]: one for one in world.made()["spec"]["volumes"]}
    assert volumes["driver-root"]["hostPath"]["path"] == "/run/nvidia/driver"


def test_a_driver_that_is_no_pod_says_so(world: World) -> None:
    mps = world.mps(own_pod="")
    mps.make_folders(UID)
    with pytest.raises(Permanent, match="give --pod-name"):
        mps.run(UID, STEP)
