"""The command line of hack/golden."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import click
from hack.released.files import ROOT, render


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where this version writes something else.")
@click.option("--replace", is_flag=True, help="Write files of this version anew: only while it is not released.")
def main(*, check: bool, replace: bool) -> None:
    """Write what this version of Partita writes to tests/released/<version>/.

    \b
    A release does this once, right after its version in pyproject.toml was raised:
      hack/golden && git add tests/released
    From then on the tests hold every later release to it: journals stay readable, names and counters of devices
    never change, and driver and extender of two releases work together. docs/upgrade.md says why.
    """
    name = version("partita")
    folder, files = ROOT / name, render()
    if check:
        different = [path for path, data in files.items() if not _holds(folder / path, data)]
        if different:
            advice = "raise the version, or hack/golden --replace before it is released"
            sys.exit(f"{folder} differs: {', '.join(different)}; {advice}")
        click.echo(f"{folder} is what {name} writes")
        return
    if folder.exists() and not replace:
        sys.exit(f"{folder} exists: a released version never changes; raise the version in pyproject.toml first")
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    click.echo(f"{len(files)} files in {folder}")


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main(prog_name="hack/golden")
