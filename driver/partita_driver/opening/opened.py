"""What a driver opens as its options say: entry points by name, nvidia-ctk, MPS daemons."""

from __future__ import annotations

from collections.abc import Callable

from partita_driver.cdi.files import CommonEdits
from partita_driver.cdi.lint import ContainerEdits
from partita_driver.cdi.toolkit import Toolkit
from partita_driver.mps.keeper import Mps
from partita_driver.mps.pods import MpsPods
from partita_driver.opening.options import AUTO, NONE, SIMULATED, Options
from partita_plugins import registry
from partita_plugins.contracts import DeviceBackend, SharingStrategy, Validator
from partita_plugins.kube.api import KubeApi


def open_backend(options: Options) -> DeviceBackend:
    """The named backend. Raises InvalidInput for a name or a machine that there is not."""
    opened: Callable[..., DeviceBackend] = registry.load("partita.backends", options.backend)
    if options.backend == SIMULATED:
        return opened(state_dir=options.simulated_folder, machine=options.machine, seed=options.node_name)
    places = {"host_root": options.host_root, "driver_root": options.driver_root}
    return opened(state_dir=options.state_dir / options.backend, **places)


def open_toolkit(options: Options) -> Toolkit | None:
    """The node's nvidia-ctk; None where containers need nothing of the node's driver."""
    if options.toolkit == NONE or (options.toolkit == AUTO and options.backend == SIMULATED):
        return None
    return Toolkit(
        program="" if options.toolkit == AUTO else options.toolkit,
        host_root=options.host_root,
        driver_root=options.driver_root,
    )


def common_edits(options: Options, driver_version: Callable[[], str]) -> CommonEdits:
    """What gives every claim's container the node's driver libraries; nothing on simulated GPUs."""
    toolkit = open_toolkit(options)
    return (lambda: toolkit.common_edits(driver_version())) if toolkit else ContainerEdits


def open_validator(name: str, backend: DeviceBackend) -> Validator | None:
    """The named validator over a backend; None for "none"."""
    if name == NONE:
        return None
    made: Validator = registry.load("partita.validators", name)(backend)
    return made


def open_strategies() -> dict[str, SharingStrategy]:
    """All sharing strategies that are installed, by name."""
    group = "partita.sharing"
    return {name: registry.load(group, name)() for name in registry.names(group)}


def open_mps(options: Options, api: KubeApi) -> Mps:
    """MPS daemons as pods."""
    daemons = MpsPods(
        api,
        node_name=options.node_name,
        namespace=options.namespace,
        own_pod=options.pod_name,
        host_root=options.host_root,
        driver_root=options.driver_root,
    )
    return Mps(daemons, options.mps_dir)
