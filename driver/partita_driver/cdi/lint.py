"""CDI specifications as values, and what is wrong with one before it is handed out."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from partita_plugins.model.instances import DeviceNode
from partita_plugins.wire import DRIVER_NAME

CDI_KIND = f"{DRIVER_NAME}/claim"

_KIND = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]/[A-Za-z][A-Za-z0-9_-]*[A-Za-z0-9]$")
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$")
_ENV = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=")


class CdiValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of all CDI values."""


class CdiNode(CdiValue, frozen=True, kw_only=True):
    """A character device."""

    path: str
    host_path: str = ""
    type: str
    major: int
    minor: int
    file_mode: int | None = None
    permissions: str

    @classmethod
    def of(cls, node: DeviceNode) -> CdiNode:
        """As CDI writes it; `rw` without the right to make further nodes."""
        return cls(
            path=node.path,
            host_path=node.host_path if node.host_path != node.path else "",
            type="c",
            major=node.major,
            minor=node.minor,
            file_mode=node.mode,
            permissions="rw",
        )


class CdiMount(CdiValue, frozen=True, kw_only=True):
    """A bind mount of the node's files."""

    host_path: str
    container_path: str
    type: str = ""
    options: list[str] = []


class CdiHook(CdiValue, frozen=True, kw_only=True):
    """A program that the runtime runs on the node."""

    hook_name: str
    path: str
    args: list[str] = []
    env: list[str] = []
    timeout: int | None = None


class ContainerEdits(CdiValue, frozen=True, kw_only=True):
    """What a container gets: of one device, or common to all devices of a file."""

    env: list[str] = []
    device_nodes: list[CdiNode] = []
    mounts: list[CdiMount] = []
    hooks: list[CdiHook] = []
    additional_gids: list[int] = []


class CdiDevice(CdiValue, frozen=True, kw_only=True):
    """One device that a container may be given by name."""

    name: str
    container_edits: ContainerEdits
    annotations: dict[str, str] = {}


class CdiSpec(CdiValue, frozen=True, kw_only=True):
    """One CDI file."""

    cdi_version: str
    kind: str
    annotations: dict[str, str] = {}
    devices: list[CdiDevice]
    container_edits: ContainerEdits = ContainerEdits()


def version_for(spec: CdiSpec) -> str:
    """The lowest version that has the fields in use: groups came with 0.7.0, annotations with 0.6.0."""
    if any(edits.additional_gids for edits in (spec.container_edits, *(one.container_edits for one in spec.devices))):
        return "0.7.0"
    annotated = spec.annotations or any(device.annotations for device in spec.devices)
    return "0.6.0" if annotated else "0.5.0"


def lint(spec: CdiSpec, host_root: Path = Path("/")) -> tuple[str, ...]:
    """What would keep a container from its devices, one sentence each; empty for a sound file.

    Host paths are looked at under `host_root`: a container's own /dev is as the node's was when it started.
    """
    findings = [] if _KIND.match(spec.kind) else [f"{spec.kind!r} is not a CDI kind"]
    if not spec.devices:
        findings.append("there is no device in it")
    names = [device.name for device in spec.devices]
    findings += (f"device name {name!r} stands twice" for name in sorted({n for n in names if names.count(n) > 1}))
    for device in spec.devices:
        findings += _lint_device(device, host_root)
    return tuple(findings)


def _lint_device(device: CdiDevice, host_root: Path) -> list[str]:
    edits = device.container_edits
    findings = [] if _NAME.match(device.name) else [f"{device.name!r} is not a CDI device name"]
    if not edits.device_nodes:
        # dra-driver-nvidia-gpu#1380: a container that starts without the device it waited for.
        findings.append(f"device {device.name} has no device node")
    findings += (f"{entry[:64]!r} is no environment variable" for entry in edits.env if not _ENV.match(entry))
    findings += (found for node in edits.device_nodes if (found := _lint_node(node, host_root)))
    return findings


def _lint_node(node: CdiNode, host_root: Path) -> str:
    if not node.path.startswith("/"):
        return f"{node.path!r} is not an absolute path"
    return _lint_host(Path(node.host_path or node.path), node, host_root)


def _lint_host(path: Path, node: CdiNode, host_root: Path) -> str:
    try:
        found = (host_root / path.relative_to(path.anchor)).stat()
    except OSError:
        # Not there, or not to be seen: the runtime makes it from its numbers. nvidia-modprobe makes nodes only when
        # somebody asks, those of nvidia-caps and nvidia-uvm late, and a driver container has its own.
        return ""
    # Who may not make device nodes gets empty files from the simulated hardware, never under /dev.
    if stat.S_ISREG(found.st_mode) and found.st_size == 0 and not path.is_relative_to("/dev"):
        return ""
    if not stat.S_ISCHR(found.st_mode):
        return f"{path} is not a character device"
    numbers = (os.major(found.st_rdev), os.minor(found.st_rdev))
    if numbers != (node.major, node.minor):
        return f"{path} is {numbers[0]}:{numbers[1]}, not {node.major}:{node.minor}"
    return ""
