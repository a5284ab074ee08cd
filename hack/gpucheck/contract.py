"""The backend contract's getters, one by one: the same suite that CI runs over simulated hardware."""

from __future__ import annotations

from hack.gpucheck.report import Section

from partita_plugins.contracts import DeviceBackend
from partita_plugins.testing.contracts.getters import GettersContract

SICK = "test_healthy_gpus_report_nothing"
"""Fails on a GPU that reports something: that is told, and no fault of the backend."""


def kept(backend: DeviceBackend) -> Section:
    """One row a promise."""
    suite = GettersContract()
    rows = []
    passed = True
    for name in sorted(name for name in dir(suite) if name.startswith("test_")):
        outcome = _outcome(suite, name, backend)
        passed = passed and (outcome == "kept" or name == SICK)
        rows.append((name.removeprefix("test_").replace("_", " "), outcome))
    return Section(title="contract", passed=passed, columns=("promise", "outcome"), rows=rows)


def _outcome(suite: GettersContract, name: str, backend: DeviceBackend) -> str:
    try:
        getattr(suite, name)(backend)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a promise breaks it
        if name == SICK and isinstance(error, AssertionError):
            return f"the GPU reports: {_reports(backend)}"
        said = str(error).strip().splitlines()
        return f"broken: {type(error).__name__}{f': {said[0][:200]}' if said else ''}"
    return "kept"


def _reports(backend: DeviceBackend) -> str:
    return ", ".join(sorted(event.kind for uuid in backend.gpu_uuids() for event in backend.health(uuid)))
