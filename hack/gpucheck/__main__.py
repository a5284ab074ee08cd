"""What Partita does with this machine's GPUs: the NVML backend against nvidia-smi, its contract and the clock, and the
validator.

\b
    hack/gpu-check                                        print the report
    hack/gpu-check --output docs/measurements             and keep it there, named after the GPU and the day
    hack/gpu-check --driver-root DIR                      where the NVIDIA driver is not under /

Nothing is changed on the cards: no setting is made, no instance. The validator computes on those that nobody uses, and
on the partitions that there are; it needs .venv/bin/pip install cupy-cuda12x and hack/kernels. Without a GPU, a machine
of the catalog answers:
eval "$(.venv/bin/python -m partita_plugins.testing.nvml install --state DIR --machine hgx-h100)", and --validator host
computes.

Exit status 1 where something differs or fails.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
from hack.gpucheck import contract, smi, timings, validation
from hack.gpucheck.report import Section, as_markdown, file_name

from partita_plugins.backends.nvml import open_backend
from partita_plugins.errors import PartitaError

ROOTS = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(help=__doc__ or "")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder to keep the report in.")
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1), help="Calls of each kind to time.")
@click.option(
    "--runs", default=200, show_default=True, type=click.IntRange(1), help="Quick looks that must find nothing."
)
@click.option(
    "--validator", default="cupy", show_default=True, help="Which validator is tried: cupy; host without GPUs."
)
@click.option("--host-root", default="/", show_default=True, type=ROOTS, help="Where this process sees the node.")
@click.option(
    "--driver-root",
    default="/",
    envvar="PARTITA_DRIVER_ROOT",
    show_default=True,
    type=ROOTS,
    help="Where the node has NVIDIA's driver.",
)
def main(*, output: Path | None, rounds: int, runs: int, validator: str, host_root: Path, driver_root: Path) -> None:
    """Look, compare, time, report."""
    with tempfile.TemporaryDirectory(prefix="partita-") as scratch:
        backend = open_backend(Path(scratch), host_root=host_root, driver_root=driver_root)
        try:
            hardware = backend.discover()
        except PartitaError as error:
            raise click.ClickException(f"{error}. Is there a GPU? `nvidia-smi` must work here.") from error
        looks: dict[str, Callable[[], Section]] = {
            "nvidia-smi": lambda: smi.compared(hardware, backend, host_root, driver_root),
            "contract": lambda: contract.kept(backend),
            "validator": lambda: validation.tried(backend, hardware, validator, runs),
            "timings": lambda: timings.measured(backend, hardware, rounds),
        }
        sections: list[Section] = []
        for name, look in looks.items():
            click.echo(f"{name} ...", err=True)
            sections.append(look())
        backend.close()
    report = as_markdown(hardware, sections, datetime.now(UTC))
    click.echo(report)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        path = output / file_name(hardware, datetime.now(UTC))
        path.write_text(report + "\n", encoding="utf-8")
        click.echo(f"kept in {path}", err=True)
    sys.exit(not all(section.passed for section in sections))


if __name__ == "__main__":
    main(prog_name="hack/gpu-check")
