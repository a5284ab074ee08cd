"""The command line of `hack/kernels`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hack.image_lib.cache import Cache, cache_folder
from hack.image_lib.commands import ImageError, run
from hack.image_lib.tools import environment
from hack.kernel_images.machine_code import READ_SINCE, missing_instructions, spilled
from hack.kernel_images.nvrtc import Nvrtc

from partita_plugins.validators.kernels import BUILT, CUBINS, PTX, PTX_NAME, SOURCE, cubin

LOCK = "requirements/kernels.txt"
_ADVICE = "Remove the folder of the image cache and try again."


def main(arguments: list[str]) -> int:
    """Compile, and look if that is asked for; the exit code."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    try:
        cache = Cache(cache_folder() / "kernels")
        with cache.alone():
            python = environment(cache, LOCK)
        size = compile_all(python, options.into)
        wrong = list(looked_at(python, options.into)) if options.check else []
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    for one in wrong:
        print(one, file=sys.stderr)
    print(f"{options.into}  {len(CUBINS)} cubins and PTX  {size / 1e3:.0f} kB  {time.monotonic() - began:.1f} s")
    return 1 if wrong else 0


def compile_all(python: Path, into: Path) -> int:
    """Every file that there should be; their size in bytes."""
    compiler = Nvrtc(_site_packages(python))
    into.mkdir(parents=True, exist_ok=True)
    names = {cubin(one): f"sm_{one}" for one in CUBINS} | {PTX_NAME: f"compute_{PTX}"}
    return sum((into / name).write_bytes(compiler.compile(SOURCE, one)) for name, one in names.items())


def looked_at(python: Path, built: Path) -> Iterator[str]:
    """What is wrong with the machine code; nothing where nothing is."""
    (tools,) = {path.parent for path in _site_packages(python).glob("nvidia/**/bin/cuobjdump")}
    path = {"PATH": f"{tools}:/usr/bin:/bin"}
    for one in (one for one in CUBINS if one >= READ_SINCE):
        usage, sass = (
            run(tools / "cuobjdump", option, built / cubin(one), environment=path, advice=_ADVICE)
            for option in ("--dump-resource-usage", "--dump-sass")
        )
        yield from spilled(one, usage)
        yield from missing_instructions(one, sass)


def _site_packages(python: Path) -> Path:
    (found,) = python.parent.parent.glob("lib/python*/site-packages")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/kernels",
        description="Compile the GPU kernels for every architecture, without a GPU: the cupy validator loads them."
        " hack/image does it by itself. The compiler is fetched once (95 MB).",
    )
    parser.add_argument(
        "--into", type=Path, default=BUILT, metavar="FOLDER", help="where to (default: beside their source)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail where an instruction that is meant is not in it, or a register spilled",
    )
    return parser
