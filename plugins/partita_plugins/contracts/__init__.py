"""The ports: what a backend, a sharing strategy, a validator and a scorer promise.

Implementations are found by entry point (registry.py). One contract suite per port in partita_plugins.testing runs
over every implementation.
"""

from partita_plugins.contracts.backend import DeviceBackend, DeviceMemory, DriverLibraries, MemoryBackend
from partita_plugins.contracts.scoring import (
    NO_SHAPE,
    Counts,
    Floats,
    GpuState,
    Measures,
    NodeState,
    Outcome,
    PodShape,
    ProfileShape,
    Scorer,
    Workload,
)
from partita_plugins.contracts.sharing import (
    MPS,
    MPS_KINDS,
    STRATEGY_OF_KIND,
    ShareRequest,
    SharingStrategy,
    strategy_name,
)
from partita_plugins.contracts.validation import (
    Closeable,
    Depth,
    Look,
    ValidationResult,
    ValidationTarget,
    Validator,
    never,
)

__all__ = [
    "MPS",
    "MPS_KINDS",
    "NO_SHAPE",
    "STRATEGY_OF_KIND",
    "Closeable",
    "Counts",
    "Depth",
    "DeviceBackend",
    "DeviceMemory",
    "DriverLibraries",
    "Floats",
    "GpuState",
    "Look",
    "Measures",
    "MemoryBackend",
    "NodeState",
    "Outcome",
    "PodShape",
    "ProfileShape",
    "Scorer",
    "ShareRequest",
    "SharingStrategy",
    "ValidationResult",
    "ValidationTarget",
    "Validator",
    "Workload",
    "never",
    "strategy_name",
]
