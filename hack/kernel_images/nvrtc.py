"""NVIDIA's run-time compiler, as a library: it needs no GPU and no driver."""

from __future__ import annotations

import ctypes
from pathlib import Path

from hack.image_lib.commands import ImageError

OPTIONS = ("--std=c++17",)
SONAME = "libnvrtc.so.12"

OLD = "are deprecated and may be removed in a future release"
"""Said of Volta, which CUDA 13 no longer knows."""


class Nvrtc:
    """One libnvrtc."""

    def __init__(self, site_packages: Path) -> None:
        found = sorted(site_packages.glob(f"nvidia/**/{SONAME}"))
        if not found:
            raise ImageError(f"there is no {SONAME} below {site_packages}; run hack/lock")
        self._library = ctypes.CDLL(str(found[0]))

    def compile(self, source: Path, architecture: str) -> bytes:
        """The cubin for sm_NN, or the PTX for compute_NN. Raises ImageError with the compiler's words."""
        program = ctypes.c_void_p()
        created = self._library.nvrtcCreateProgram(
            ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None
        )
        options = [f"--gpu-architecture={architecture}", f"--include-path={source.parent}", *OPTIONS]
        values = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = created or self._library.nvrtcCompileProgram(program, len(options), values)
        lines = self._text(program, "ProgramLog").decode(errors="replace").strip("\0\n ").splitlines()
        said = "\n".join(line for line in lines if OLD not in line)
        # Any other warning is a mistake that was not looked at.
        if failed or said:
            raise ImageError(f"{source.name} does not compile for {architecture}:\n{said}")
        return self._text(program, "CUBIN" if architecture.startswith("sm_") else "PTX")

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._library[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._library[f"nvrtcGet{what}"](program, text)
        return text.raw
