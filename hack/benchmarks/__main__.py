"""The command line of hack/bench."""

from __future__ import annotations

import click
from hack.benchmarks.latency import latency
from hack.benchmarks.layout import layout
from hack.benchmarks.mig.command import mig
from hack.benchmarks.openb.command import openb
from hack.benchmarks.predict.command import predict_command
from hack.benchmarks.prepare import prepare
from hack.benchmarks.soak import soak
from hack.benchmarks.start import start
from hack.benchmarks.throughput import throughput
from hack.benchmarks.topology import topology
from hack.benchmarks.validate import validate
from hack.benchmarks.watch import watch


@click.group(help="Measure Partita. Every figure is a ratio against a baseline taken in the same run.")
def main() -> None:
    """Choose a benchmark."""


main.add_command(latency)
main.add_command(layout)
main.add_command(mig)
main.add_command(openb)
main.add_command(predict_command, "predict")
main.add_command(prepare)
main.add_command(soak)
main.add_command(start)
main.add_command(throughput)
main.add_command(topology)
main.add_command(watch)
main.add_command(validate)

if __name__ == "__main__":
    main(prog_name="hack/bench")
