"""What every container that gets a GPU needs of the node's NVIDIA driver: `nvidia-ctk cdi generate` knows it.

Libraries, programs, sockets and hooks differ by driver version, distribution and toolkit, so the node's own toolkit
is asked (the NVIDIA Container Toolkit, 1.17 and newer). Device nodes are not taken from it: a claim gets its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from partita_driver.cdi.lint import CdiHook, CdiMount, ContainerEdits
from partita_plugins.errors import Retryable
from partita_plugins.rooted import DRIVER_CONTAINER, seen

log = structlog.get_logger(__name__)

PLACES = ("/usr/bin/nvidia-ctk", "/usr/local/bin/nvidia-ctk", "/usr/local/nvidia/toolkit/nvidia-ctk")
"""Where packages and the GPU operator put it."""

HOOK = "nvidia-cdi-hook"

NVIDIA_SMI = "/usr/bin/nvidia-smi"
"""The GPU Operator's validator tells the two places of the driver apart by nvidia-smi, too."""

GENERATE = ("cdi", "generate", "--format=json", "--mode=nvml")

# Only the common part is wanted. Toolkits before 1.19 do not know this and list every GPU as well, which takes longer.
NO_DEVICES = "--device-id=none"
_UNKNOWN_OPTION = re.compile(r"flag provided but not defined|unknown flag")

DEADLINE_SECONDS = 15.0
KILL_SECONDS = 2.0
"""What the kernel has to end a killed process."""

OUTPUT_BYTES_MAX = 4 * 2**20
AGAIN_SECONDS = 5.0
INSTALL = "install the NVIDIA Container Toolkit on the node, or say where nvidia-ctk is with --toolkit"

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[bytes]"]


class _Common(msgspec.Struct, rename="camel"):
    """What is taken of a generated file's common edits. Its device nodes have no type: runtimes look for it."""

    env: list[str] = []
    mounts: list[CdiMount] = []
    hooks: list[CdiHook] = []
    additional_gids: list[int] = []


class _Generated(msgspec.Struct, rename="camel"):
    container_edits: _Common = msgspec.field(default_factory=_Common)


class Toolkit:
    """The common edits of one node, asked for once for each driver version and toolkit. Thread-safe."""

    def __init__(
        self,
        *,
        program: str = "",
        host_root: Path = Path("/"),
        driver_root: Path = Path("/"),
        run: Run | None = None,
    ) -> None:
        """`host_root` is where this process sees the node's root, `driver_root` where the node has NVIDIA's driver.

        Without `program`, a path on the node, it is looked for in PLACES.
        """
        self._program = program
        self._host_root, self._driver_root = host_root, driver_root
        self._run = run or run_within(DEADLINE_SECONDS)
        self._lock = threading.Lock()
        self._kept: tuple[tuple[object, ...], ContainerEdits] | None = None

    def common_edits(self, driver_version: str) -> ContainerEdits:
        """What each container needs with this driver. Raises Retryable with what is missing on the node."""
        with self._lock:
            program = self.program()
            found = self.seen(program).stat()
            key = (driver_version, program, found.st_ino, found.st_size, found.st_mtime_ns)
            # A service of the driver that was stopped has taken its socket with it.
            if self._kept is None or self._kept[0] != key or self._missing(self._kept[1]):
                edits = self._checked(self._generate(program))
                log.info("common CDI edits read", program=program, driver=driver_version, mounts=len(edits.mounts))
                self._kept = (key, edits)
            return self._kept[1]

    def program(self) -> str:
        """The path of nvidia-ctk on the node. Raises Retryable: it may be installed any moment."""
        places = (self._program,) if self._program else PLACES
        for place in places:
            if os.access(self.seen(place), os.X_OK):
                return place
        raise Retryable(f"there is no {' or '.join(places)} on the node", delay_seconds=AGAIN_SECONDS, advice=INSTALL)

    def seen(self, path: str) -> Path:
        """A path of the node as this process sees it."""
        return seen(self._host_root, path)

    def _drivers_place(self) -> Path:
        """Where the driver is: in the GPU Operator's driver container, if nobody said where and the node has none."""
        if self._driver_root != Path("/") or self.seen(NVIDIA_SMI).exists():
            return self._driver_root
        contained = seen(self.seen(DRIVER_CONTAINER), NVIDIA_SMI).exists()
        return Path(DRIVER_CONTAINER) if contained else self._driver_root

    def _generate(self, program: str) -> ContainerEdits:
        command = [program, *GENERATE, f"--driver-root={self._drivers_place()}"]
        # Beside it, as every installation has it; else where nvidia-ctk itself looks.
        hook = f"{os.path.dirname(program)}/{HOOK}"  # noqa: PTH120 - a path of the node, not of this process
        if os.access(self.seen(hook), os.X_OK):
            command.append(f"--nvidia-cdi-hook-path={hook}")
        if self._host_root != Path("/"):
            command = ["chroot", str(self._host_root), *command]
        done = self._run([*command, NO_DEVICES])
        if done.returncode and _UNKNOWN_OPTION.search(done.stderr.decode(errors="replace")):
            done = self._run(command)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise _failed(f"{program} cdi generate: {said[-1][-300:] if said else f'exit status {done.returncode}'}")
        if len(done.stdout) > OUTPUT_BYTES_MAX:
            raise _failed(f"{program} cdi generate printed {len(done.stdout)} bytes")
        try:
            common = msgspec.json.decode(done.stdout, type=_Generated).container_edits
        except msgspec.DecodeError as error:
            raise _failed(f"{program} cdi generate printed no CDI specification: {error}") from error
        return ContainerEdits(
            env=common.env, mounts=common.mounts, hooks=common.hooks, additional_gids=common.additional_gids
        )

    def _checked(self, edits: ContainerEdits) -> ContainerEdits:
        """The same edits. Raises Retryable where a container with them could not start."""
        if missing := self._missing(edits):
            raise _failed(f"the node's CDI edits name {', '.join(sorted(missing)[:4])}, which it does not have")
        if not any(_is_libcuda(mount) for mount in edits.mounts):
            raise _failed("the node's CDI edits have no libcuda.so: NVIDIA's driver is not whole")
        return edits

    def _missing(self, edits: ContainerEdits) -> set[str]:
        """Paths without which a container with these edits does not start, and which are not there."""
        hooks = {hook.path for hook in edits.hooks if not os.access(self.seen(hook.path), os.X_OK)}
        return hooks | {mount.host_path for mount in edits.mounts if not self.seen(mount.host_path).exists()}


def run_within(deadline_seconds: float) -> Run:
    """How a program is run: no shell, no input, ended after the deadline. One at a time.

    One that takes no SIGKILL waits in NVIDIA's driver for a GPU: it is left behind, and none is started beside it.
    """
    left: list[subprocess.Popen[bytes]] = []

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        if left and left[0].poll() is None:
            raise _failed(f"{command[0]} that was ended earlier still hangs: it takes no SIGKILL")
        left.clear()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise _failed(f"{command[0]} cannot be run: {error.strerror}") from error
        try:
            output, errors = process.communicate(timeout=deadline_seconds)
        except subprocess.TimeoutExpired as error:
            if not _ended(process):
                left.append(process)
            raise _failed(f"{command[0]} did not end within {deadline_seconds:g} s") from error
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    return run


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Kill it, and close what it would have been heard through; whether it has ended within a moment."""
    process.kill()
    for pipe in filter(None, (process.stdout, process.stderr)):
        pipe.close()
    try:
        process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_libcuda(mount: CdiMount) -> bool:
    return Path(mount.container_path).name.startswith("libcuda.so")


def _failed(message: str) -> Retryable:
    advice = "look at `nvidia-ctk --debug cdi generate` on the node"
    return Retryable(message, delay_seconds=AGAIN_SECONDS, advice=advice)
