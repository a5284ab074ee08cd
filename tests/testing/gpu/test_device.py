"""The device on the CPU: what is broken in its memory is in everybody's way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from partita_plugins.backends.simulated import StuckLine, open_backend
from partita_plugins.testing.gpu import HostKernels, build_kernels
from partita_plugins.testing.gpu.device import SMALL_BYTES, HostDevice

LINE = 10


def test_a_stuck_address_line_is_in_the_way_of_copies_as_of_kernels(tmp_path: Path) -> None:
    backend = open_backend(tmp_path, "a30-x4", seed="a", words=2**17)
    gpu = backend.discover().gpus[0]
    device = HostDevice(
        backend.open_memory(gpu.uuid, None),
        HostKernels(build_kernels()),
        uuid=gpu.uuid,
        compute_capability=80,
        link=lambda _source, _destination: True,
        hang=lambda: None,
    )
    backend.faults.plant(StuckLine(gpu_uuid=gpu.uuid, line=LINE))
    pointer = device.allocate(SMALL_BYTES)
    words = np.arange(2 << LINE, dtype=np.uint32)
    device.upload(pointer, words)
    below, above = np.split(np.frombuffer(device.download(pointer, words.nbytes), dtype=np.uint32), 2)
    assert (below == words[1 << LINE :]).all(), "what was written above landed below"
    assert (above == below).all()
