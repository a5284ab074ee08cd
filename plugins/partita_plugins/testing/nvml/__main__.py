"""python -m partita_plugins.testing.nvml: a node with simulated GPUs for whatever calls NVML."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated.cli import Commands
from partita_plugins.testing.nvml.layout import installed


@click.group(cls=Commands)
def main() -> None:
    """GPUs for NVML's callers where there are none: pynvml, nvidia-ctk and nvidia-smi see a machine of the catalog.

    Break it, mend it and look at it with python -m partita_plugins.backends.simulated.
    """


@main.command()
@click.option("--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where to lay it out.")
@click.option("--machine", required=True, type=click.Choice(catalog.names()), help="Name in the catalog.")
@click.option("--seed", default="node", show_default=True, help="Makes the UUIDs: the node's name.")
@click.option("--shuffle-minors", is_flag=True, help="/dev/nvidiaN in no order, and changing.")
def install(state: Path, machine: str, seed: str, shuffle_minors: bool) -> None:
    """Lay a machine out and print the environment that makes NVML find it.

    eval "$(python -m partita_plugins.testing.nvml install --state DIR --machine hgx-h100)"
    """
    node = installed(state.absolute(), machine, seed=seed, shuffle_minors=shuffle_minors)
    for name, value in node.environment.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"# now try: {shlex.quote(str(node.root / 'usr/bin/nvidia-smi'))} -L")


if __name__ == "__main__":
    main(prog_name="python -m partita_plugins.testing.nvml")
