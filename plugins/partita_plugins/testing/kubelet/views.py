"""What a container would have been given by its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from partita_plugins.testing.kubeapi import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device node inside a container."""

    path: str
    host_path: str
    type: str = ""
    major: int | None = None
    minor: int | None = None
    permissions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount inside a container."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """One container: its own environment, and what the CDI devices of its claims add."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    cdi_ids: tuple[str, ...] = ()
    """CDI devices in the order in which they were applied."""
    env: Mapping[str, str] = field(default_factory=dict)
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[str, ...] = ()
    """Names of the OCI hooks that would run, with their programs, as `createContainer:/usr/bin/nvidia-cdi-hook`."""


@dataclass(slots=True)
class Edits:
    """Container edits as they add up."""

    env: dict[str, str] = field(default_factory=dict)
    device_nodes: dict[str, DeviceNode] = field(default_factory=dict)
    mounts: dict[str, Mount] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)

    def add(self, edits: Json) -> None:
        """Apply one `containerEdits`; a later one wins over an earlier one for the same name or path."""
        for entry in edits.get("env") or []:
            name, _, value = entry.partition("=")
            self.env[name] = value
        for node in edits.get("deviceNodes") or []:
            self.device_nodes[node["path"]] = DeviceNode(
                path=node["path"],
                host_path=node.get("hostPath") or node["path"],
                type=node.get("type", ""),
                major=node.get("major"),
                minor=node.get("minor"),
                permissions=node.get("permissions", ""),
            )
        for mount in edits.get("mounts") or []:
            self.mounts[mount["containerPath"]] = Mount(
                host_path=mount["hostPath"],
                container_path=mount["containerPath"],
                options=tuple(mount.get("options") or ()),
            )
        self.hooks += [f"{hook['hookName']}:{hook['path']}" for hook in edits.get("hooks") or []]
