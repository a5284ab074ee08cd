"""Options that commands of the driver share; each may also come from the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from partita_driver.opening.options import Options

DEFAULTS = Options(node_name="")
TOOLKIT = 'Path of nvidia-ctk on the node, which names the driver libraries; "auto" looks for it, "none": no libraries.'

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def option(*names: str, env: tuple[str, ...] = (), **more: Any) -> Decorator:
    """An option whose default may also come from PARTITA_<NAME>."""
    own = "PARTITA_" + names[0].partition("/")[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=[own, *env], show_envvar=True, show_default=True, **more)


def directory(name: str, default: Path | None, text: str) -> Decorator:
    """An option that is a folder, as an absolute path."""
    kind = click.Path(file_okay=False, path_type=Path)
    return option(name, default=default, type=kind, help=text, callback=_absolute)


def _absolute(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return value.absolute() if value else None


def backend_options(command: Command) -> Command:
    """Which GPUs."""
    for one in (
        directory("--simulated-dir", None, "Where the simulated hardware lives  [default: STATE_DIR/simulated]"),
        option("--machine", default="", help="Machine of the simulated backend, such as hgx-h100."),
        directory("--driver-root", DEFAULTS.driver_root, "Where the node has NVIDIA's driver."),
        directory("--host-root", DEFAULTS.host_root, "Where this process sees the node's root file system."),
        option("--backend", default=DEFAULTS.backend, help="Where GPUs come from: nvml or simulated."),
    ):
        command = one(command)
    return command


def place_options(command: Command) -> Command:
    """Where things are on the node."""
    for one in (
        option("--kubeconfig", default="", help="How to reach the API server  [default: the pod's own account]"),
        option("--toolkit", default=DEFAULTS.toolkit, help=TOOLKIT),
        directory("--registry-dir", DEFAULTS.registry_dir, "Where the kubelet looks for plugins."),
        directory("--plugin-dir", DEFAULTS.plugin_dir, "Where the driver's own socket is."),
        directory("--cdi-dir", DEFAULTS.cdi_dir, "Where the container runtime reads CDI files."),
        directory("--state-dir", DEFAULTS.state_dir, "Where the driver remembers what it made; on a disk."),
    ):
        command = one(command)
    return backend_options(command)


def node_options(command: Command) -> Command:
    """Which driver on which node."""
    for one in (
        option("--pod-uid", env=("POD_UID",), default="", help="UID of this pod: two instances side by side."),
        option("--pod-name", env=("POD_NAME",), default="", help="Name of this pod: MPS daemons run in its image."),
        option("--node-name", env=("NODE_NAME",), required=True, help="Name of this Node."),
    ):
        command = one(command)
    return place_options(command)
