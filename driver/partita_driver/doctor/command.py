"""The command `partita-driver doctor`."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from partita_driver.doctor.facts import NodeFacts
from partita_driver.doctor.findings import Weight, findings
from partita_driver.doctor.show import as_json, as_text
from partita_driver.journal.copies import last_state
from partita_driver.opening.flags import option, place_options
from partita_driver.opening.logs import configure_logs
from partita_driver.opening.opened import open_backend, open_toolkit
from partita_driver.opening.options import SIMULATED, Options


@click.command()
@place_options
@option("--node-name", env=("NODE_NAME",), default=os.uname().nodename, help="Name of this Node.")
@click.option("--json", "json_", is_flag=True, help="One JSON object.")
def doctor(*, json_: bool, **options: Any) -> None:
    """Say what is on this node, what Partita can offer of it, and what is in the way, each with the next step.

    Nothing is changed. Exit status 1 where something is in the way, 0 otherwise.

    \b
      partita-driver doctor
      partita-driver doctor --backend simulated --machine dgx-a100-80
      kubectl exec -n partita-system POD -- partita-driver doctor --host-root=/host --json
    """
    configure_logs("error", as_json=False)
    wanted = Options(**options)
    facts = examine(replace(wanted, backend=SIMULATED) if wanted.machine else wanted)
    found = findings(facts)
    click.echo(as_json(facts, found) if json_ else as_text(facts, found))
    sys.exit(any(finding.weight is Weight.BLOCKS for finding in found))


def examine(options: Options) -> NodeFacts:
    """Look at this node; a machine of the catalog that nobody simulates yet is looked at alone, without a node."""
    if options.backend == SIMULATED and not options.simulated_folder.exists():
        with tempfile.TemporaryDirectory(prefix="partita-") as scratch:
            return _hardware(replace(options, simulated_dir=Path(scratch)))
    return _node(_hardware(options), options)


def _hardware(options: Options) -> NodeFacts:
    from partita_driver.doctor.gather import failed, hardware_facts  # noqa: PLC0415 - see main.py: `devices` is quick
    from partita_plugins.errors import PartitaError  # noqa: PLC0415

    try:
        backend = open_backend(options)
    except PartitaError as error:
        return failed(options, error)
    return hardware_facts(options.node_name, options.backend, backend, last_state(options.journal_dir))


def _node(facts: NodeFacts, options: Options) -> NodeFacts:
    from partita_driver.doctor.gather import folder_facts, kube_facts, toolkit_facts  # noqa: PLC0415

    toolkit = open_toolkit(options)
    version = facts.hardware.driver_version if facts.hardware else ""
    return replace(
        facts,
        toolkit=toolkit_facts(toolkit, version) if toolkit else None,
        folders=folder_facts(options),
        kube=kube_facts(options),
    )
