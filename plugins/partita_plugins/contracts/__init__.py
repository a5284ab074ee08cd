"""The ports: what a backend, a sharing strategy, a validator and a scorer promise.

Implementations are found by entry point (registry.py). One contract suite per port in partita_plugins.testing runs
over every implementation.
"""

from partita_plugins.contracts.backend import DeviceBackend, DeviceMemory, DriverLibraries, MemoryBackend
from partita_plugins.contracts.scoring import GpuState, NodeState, Outcome, ProfileShape, Scorer
from partita_plugins.contracts.sharing import (
    MPS,
    MPS_KINDS,
    STRATEGY_OF_KIND,
    ShareRequest,
    SharingStrategy,
    strategy_name,
)
from partita_plugins.contracts.validation import Depth, Look, ValidationResult, ValidationTarget, Validator

__all__ = [
    "MPS",
    "MPS_KINDS",
    "STRATEGY_OF_KIND",
    "Depth",
    "DeviceBackend",
    "DeviceMemory",
    "DriverLibraries",
    "GpuState",
    "Look",
    "MemoryBackend",
    "NodeState",
    "Outcome",
    "ProfileShape",
    "Scorer",
    "ShareRequest",
    "SharingStrategy",
    "ValidationResult",
    "ValidationTarget",
    "Validator",
    "strategy_name",
]
