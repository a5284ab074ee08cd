"""Which machine a node simulates: where the command line names none, the Node's label does.

One DaemonSet then plays different machines on different nodes.
"""

from __future__ import annotations

from dataclasses import replace

from partita_driver.opening.options import SIMULATED, Options
from partita_driver.settings.watch import Node
from partita_plugins.errors import InvalidInput
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import NODES
from partita_plugins.wire import DRIVER_NAME

MACHINE_LABEL = f"{DRIVER_NAME}/simulated-machine"


def with_machine(options: Options, api: KubeApi) -> Options:
    """The options, with the machine from the Node's label if they simulate and name none.

    Raises InvalidInput where the label is missing, ApiError or Unavailable where the Node cannot be read.
    """
    if options.backend != SIMULATED or options.machine:
        return options
    machine = api.get(NODES, options.node_name, as_=Node).metadata.labels.get(MACHINE_LABEL, "")
    if not machine:
        raise InvalidInput(
            f"no machine to simulate on node {options.node_name}",
            advice=f"run: kubectl label node {options.node_name} {MACHINE_LABEL}=hgx-h100, or give --machine",
        )
    return replace(options, machine=machine)
