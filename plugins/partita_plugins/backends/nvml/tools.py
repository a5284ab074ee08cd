"""Settings that NVIDIA's own drivers make through nvidia-smi: time slices have no call in NVML."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from partita_plugins.backends.nvml.answers import code_of
from partita_plugins.backends.nvml.library import Roots, find, find_library
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.instances import ComputeMode

PLACES = ("usr/bin/nvidia-smi", "usr/local/bin/nvidia-smi", "bin/nvidia-smi")

DEADLINE_SECONDS = 10.0
"""Below what the driver waits for a call."""

TIME_SLICES = {"Default": "0", "Short": "1", "Medium": "2", "Long": "3"}

COMPUTE_MODES = {
    ComputeMode.DEFAULT: "DEFAULT",
    ComputeMode.EXCLUSIVE_PROCESS: "EXCLUSIVE_PROCESS",
    ComputeMode.PROHIBITED: "PROHIBITED",
}

SAID_MAX = 200
"""Characters of its output in an error."""


class NvidiaSmi:
    """The node's nvidia-smi, with argument lists and a deadline. Its exit codes are NVML's."""

    def __init__(self, roots: Roots, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._roots, self._deadline_seconds = roots, deadline_seconds

    def set_time_slice(self, gpu_uuid: str, interval: str) -> None:
        """Scheduling quantum of a whole GPU. INVALID_ARGUMENT for an unknown name."""
        if interval not in TIME_SLICES:
            raise BackendError(
                NvmlCode.INVALID_ARGUMENT,
                f"{interval!r} is no time slice",
                advice=f"choose one of: {', '.join(TIME_SLICES)}",
            )
        self._run("compute-policy", "-i", gpu_uuid, "--set-timeslice", TIME_SLICES[interval])

    def set_compute_mode(self, gpu_uuid: str, mode: ComputeMode) -> None:
        """Which processes may compute on a whole GPU."""
        self._run("-i", gpu_uuid, "-c", COMPUTE_MODES[mode])

    def _run(self, *arguments: str) -> None:
        program = self._program()
        try:
            done = subprocess.run(
                [program, *arguments],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=self._deadline_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(
                NvmlCode.TIMEOUT,
                f"nvidia-smi {' '.join(arguments)} did not end within {self._deadline_seconds:g} s",
                advice="look for NVRM lines in the kernel log",
            ) from error
        except OSError as error:
            raise BackendError(
                NvmlCode.UNKNOWN, f"{program} cannot be started: {error}", advice="start it by hand on the node"
            ) from error
        if done.returncode:
            said = done.stdout.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise BackendError(code_of(done.returncode), f"nvidia-smi {' '.join(arguments)}: {said[0][:SAID_MAX]}")

    def _program(self) -> Path:
        found = find(self._roots, PLACES)
        if found is None:
            raise BackendError(
                NvmlCode.LIBRARY_NOT_FOUND,
                f"there is no nvidia-smi under {self._roots[0]}",
                advice="install NVIDIA's driver with its utilities; --driver-root says where that is",
            )
        return found

    def _environment(self) -> dict[str, str]:
        """Ours, with the node's NVML: nvidia-smi asks for it by name, and may run in a container that has none."""
        library = find_library(self._roots)
        preload = [os.environ.get("LD_PRELOAD", ""), str(library) if library else ""]
        joined = ":".join(filter(None, preload))
        return {**os.environ, **({"LD_PRELOAD": joined} if joined else {})}
