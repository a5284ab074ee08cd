"""The pod of an MPS daemon, as a value.

manifests/base/driver/admission.yaml admits no other pod from the driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partita_driver.mps.control import PROGRAM
from partita_driver.mps.daemons import CLAIM_LABEL, MpsDaemon

Json = dict[str, Any]

NAME_LABEL = "app.kubernetes.io/name"
NAME = "partita-mps"
ROOT = "/driver-root"
COMMAND = ["chroot", ROOT, f"/{PROGRAM}", "-f"]
PIPE = "/tmp/nvidia-mps"  # noqa: S108 - inside the chroot, where clients have it too
LOG = "/tmp/nvidia-mps-log"  # noqa: S108
ENDS_WITHIN_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The driver's own image, and how it is got: it has chroot, and nothing else of it is used."""

    name: str
    pull_policy: str
    pull_secrets: tuple[str, ...] = ()


def pod_name(claim_uid: str) -> str:
    return f"{NAME}-{claim_uid}"


def pod(daemon: MpsDaemon, *, node_name: str, image: Image, driver_root: Path) -> Json:
    """The pod that runs a daemon on a node, for as long as nobody deletes it."""
    folders = daemon.folders
    hosts = {"driver-root": driver_root, "pipe": folders.pipe, "log": folders.log, "shm": folders.shm}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(daemon.claim_uid),
            "labels": {
                NAME_LABEL: NAME,
                "app.kubernetes.io/part-of": "partita",
                CLAIM_LABEL: daemon.claim_uid,
            },
        },
        "spec": {
            "nodeName": node_name,
            "restartPolicy": "Always",
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": ENDS_WITHIN_SECONDS,
            # A taint that drains the node must not take the daemon from under its clients.
            "tolerations": [{"operator": "Exists"}],
            # Daemon, server and clients know one another by process ids.
            "hostPID": True,
            **({"imagePullSecrets": [{"name": one} for one in image.pull_secrets]} if image.pull_secrets else {}),
            "containers": [_container(daemon, image)],
            "volumes": [
                *({"name": name, "hostPath": {"path": str(path), "type": "Directory"}} for name, path in hosts.items()),
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


def _container(daemon: MpsDaemon, image: Image) -> Json:
    return {
        "name": "mps",
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": COMMAND,
        "env": [{"name": name, "value": value} for name, value in environment(daemon).items()],
        # Nobody hands it its GPU, so it must be allowed to open all of them, as the driver is.
        "securityContext": {"runAsUser": 0, "privileged": True, "readOnlyRootFilesystem": True},
        # No limit: a server that is killed for its memory takes all of its clients along.
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [
            # NVIDIA's programs and libraries, of the version that the node's kernel module is of.
            {"name": "driver-root", "mountPath": ROOT, "readOnly": True, "mountPropagation": "HostToContainer"},
            {"name": "tmp", "mountPath": f"{ROOT}/tmp"},  # noqa: S108
            {"name": "pipe", "mountPath": f"{ROOT}{PIPE}"},
            {"name": "log", "mountPath": f"{ROOT}{LOG}"},
            {"name": "shm", "mountPath": f"{ROOT}/dev/shm"},  # noqa: S108
        ],
    }


def environment(daemon: MpsDaemon) -> dict[str, str]:
    """Where it listens and what it serves. The limits are here too: they hold from the start when it begins anew."""
    limits = {}
    if daemon.active_thread_percentage is not None:
        limits["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(daemon.active_thread_percentage)
    if daemon.memory_mib is not None:
        # By ordinal: of the GPUs that are visible to it, which is one.
        limits["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = f"0={daemon.memory_mib}M"
    return {
        "CUDA_VISIBLE_DEVICES": daemon.gpu_uuid,
        "CUDA_MPS_PIPE_DIRECTORY": PIPE,
        "CUDA_MPS_LOG_DIRECTORY": LOG,
        **limits,
    }
