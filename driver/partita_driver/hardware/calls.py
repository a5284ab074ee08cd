"""The device backend as the driver calls it: behind deadlines, with errors that name GPU and call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from partita_driver.fault_points import reached
from partita_driver.hardware.workers import NODE, Deadlines, Hung, Workers
from partita_driver.health.faults import as_partita_error
from partita_plugins.contracts import DeviceBackend, Look, ValidationResult, ValidationTarget, Validator
from partita_plugins.errors import BackendError, DeviceHung, NvmlCode, Retryable
from partita_plugins.model.gpu import NodeHardware
from partita_plugins.model.health import HealthEvent
from partita_plugins.model.instances import ComputeMode, DeviceNode, GpuInstance, GpuProcess
from partita_plugins.model.mig import Placement

T = TypeVar("T")

EVENTS = "events"
"""In place of a GPU's UUID: the one wait for events of all of them."""

MONITOR = "monitor"
"""In place of a GPU's UUID: a look at the device nodes of all of them."""

NO_GPU = frozenset({NODE, EVENTS, MONITOR})
"""All that stands in place of a GPU's UUID: no GPU is to blame."""


class HardwareError(Exception):
    """A backend's refusal on its way to the engine: which GPU, and doing what."""

    def __init__(self, gpu_uuid: str, doing: str, cause: BackendError) -> None:
        super().__init__(f"{doing}: {cause}")
        self.gpu_uuid, self.doing, self.cause = gpu_uuid, doing, cause
        self.code = cause.code
        self.error = as_partita_error(cause, doing)
        self.error.__cause__ = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a look at the node found."""

    hardware: NodeHardware
    hung: tuple[Hung, ...]
    """GPUs found to hang just now."""

    hanging: frozenset[str]
    """UUIDs of all that hang, those found earlier too."""


class Hardware:
    """The backend behind deadlines. Calls for one GPU are made under that GPU's lock, which the caller holds."""

    def __init__(self, backend: DeviceBackend, workers: Workers, deadlines: Deadlines) -> None:
        self._backend, self._workers, self._deadlines = backend, workers, deadlines

    def discover(self, remembered: NodeHardware) -> Discovery:
        """All GPUs that answer, and of the hung ones what is remembered. Raises Retryable or HardwareError.

        One hung GPU holds up a look at all: then each is asked alone, and the rest discovered without those that hang.
        """
        uuids = self._gpu_uuids()
        hanging = frozenset(self._workers.hung().keys() & set(uuids))
        hung: list[Hung] = []
        try:
            found = self._discover(hanging, self._deadlines.discover_seconds)
        except Hung as whole:
            hung = [error for uuid in uuids if uuid not in hanging and (error := self._hangs(uuid, uuids))]
            hanging = hanging | {error.gpu_uuid for error in hung}
            found = self._discover_rest(hanging, whole)
        return Discovery(hardware=found.with_remembered(remembered, hanging), hung=tuple(hung), hanging=hanging)

    def _gpu_uuids(self) -> tuple[str, ...]:
        try:
            return self._backend.gpu_uuids()
        except BackendError as error:
            if error.code is NvmlCode.LIB_RM_VERSION_MISMATCH:
                raise  # a process keeps the library that it has: the next one gets the new one
            raise HardwareError(NODE, "gpu_uuids on the node", error) from error

    def _discover(self, hanging: Collection[str], deadline_seconds: float) -> NodeHardware:
        without = frozenset(hanging)
        # One key for each set of GPUs that are left alone: the call that hung on one of them is still out.
        key = f"the node but for {', '.join(sorted(without))}" if without else NODE
        return self._call(key, "discover", lambda: self._backend.discover(without=without), deadline_seconds)

    def _discover_rest(self, hanging: Collection[str], whole: Hung) -> NodeHardware:
        try:
            return self._discover(hanging, self._deadlines.discover_seconds)
        except Hung as error:
            # No GPU is to blame.
            raise Retryable(str(error), delay_seconds=error.delay_seconds) from whole

    def _hangs(self, gpu_uuid: str, uuids: Collection[str]) -> Hung | None:
        """Whether a GPU holds up a look at itself alone. One that answers with an error does not."""
        others = frozenset(uuids) - {gpu_uuid}
        try:
            self._call(gpu_uuid, "discover", lambda: self._backend.discover(without=others))
        except Hung as error:
            return error
        except HardwareError:
            return None
        return None

    def instances(self, gpu_uuid: str) -> tuple[GpuInstance, ...]:
        """All GPU instances of a GPU; none where it cannot have any."""
        try:
            return self._call(gpu_uuid, "gpu_instances", lambda: self._backend.gpu_instances(gpu_uuid))
        except HardwareError as error:
            if error.code is NvmlCode.NOT_SUPPORTED:
                return ()
            raise

    def find(self, gpu_uuid: str, profile_id: int, placement: Placement) -> GpuInstance | None:
        """The GPU instance of that profile at that place."""
        for instance in self.instances(gpu_uuid):
            if instance.profile_id == profile_id and instance.placement == placement:
                return instance
        return None

    def nodes(self, gpu_uuid: str, instance: GpuInstance | None) -> tuple[DeviceNode, ...]:
        """Device nodes of a GPU or of an instance with its compute instance."""
        return self._call(gpu_uuid, "device_nodes", lambda: self._backend.device_nodes(gpu_uuid, instance))

    def monitor_nodes(self) -> tuple[DeviceNode, ...]:
        """Device nodes for looking at every GPU that the kernel has."""
        return self._call(MONITOR, "monitor_nodes", self._backend.monitor_nodes)

    def health(self, gpu_uuid: str) -> tuple[HealthEvent, ...]:
        """What is wrong with a GPU now, as it says itself."""
        return self._call(gpu_uuid, "health", lambda: self._backend.health(gpu_uuid))

    def processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        """Processes that compute on a GPU or on an instance of it."""
        return self._call(gpu_uuid, "processes", lambda: self._backend.processes(gpu_uuid))

    def compute_mode(self, gpu_uuid: str) -> ComputeMode:
        """Which processes may compute on a GPU."""
        return self._call(gpu_uuid, "compute_mode", lambda: self._backend.compute_mode(gpu_uuid))

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        """Events since the last call, waiting at most that long for the first. Raises Hung, or HardwareError."""
        deadline = timeout_seconds + self._deadlines.call_seconds
        return self._call(EVENTS, "wait_events", lambda: self._backend.wait_events(timeout_seconds), deadline)

    def validate(self, validator: Validator, target: ValidationTarget, look: Look) -> ValidationResult:
        """What a validator finds. It gets nearly all of the deadline, the rest is for its start."""
        inner = replace(look, deadline_seconds=look.deadline_seconds * 0.8)
        return self._call(target.gpu.uuid, "validate", lambda: validator.validate(target, inner), look.deadline_seconds)

    def validate_peers(self, validator: Validator, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        """What a validator finds between GPUs. The first stands for all of them where the call does not come back."""
        inner = replace(look, deadline_seconds=look.deadline_seconds * 0.8)
        return self._call(
            targets[0].gpu.uuid,
            "validate_peers",
            lambda: validator.validate_peers(targets, inner),
            look.deadline_seconds,
        )

    def set_mig_mode(self, gpu_uuid: str, *, enabled: bool) -> None:
        """Switch MIG mode."""
        self._call(gpu_uuid, "set_mig_mode", lambda: self._backend.set_mig_mode(gpu_uuid, enabled=enabled))

    def create_gpu_instance(self, gpu_uuid: str, profile_id: int, placement: Placement) -> None:
        """A GPU instance of that profile at that place."""
        self._call(
            gpu_uuid,
            "create_gpu_instance",
            lambda: self._backend.create_gpu_instance(gpu_uuid, profile_id, placement),
        )

    def destroy_gpu_instance(self, gpu_uuid: str, gpu_instance_id: int) -> None:
        """Take one away; gone is gone."""
        self._gone(
            gpu_uuid, "destroy_gpu_instance", lambda: self._backend.destroy_gpu_instance(gpu_uuid, gpu_instance_id)
        )

    def create_compute_instance(self, gpu_uuid: str, gpu_instance_id: int) -> None:
        """The one compute instance that fills a GPU instance."""
        self._call(
            gpu_uuid,
            "create_compute_instance",
            lambda: self._backend.create_compute_instance(gpu_uuid, gpu_instance_id),
        )

    def destroy_compute_instances(self, instance: GpuInstance) -> None:
        """Take all that are on a GPU instance away; gone is gone."""
        for one in instance.compute_instances:
            self._gone(
                instance.gpu_uuid,
                "destroy_compute_instance",
                partial(
                    self._backend.destroy_compute_instance,
                    instance.gpu_uuid,
                    instance.gpu_instance_id,
                    one.compute_instance_id,
                ),
            )

    def set_time_slice(self, gpu_uuid: str, interval: str) -> None:
        """Set the quantum of a shared GPU."""
        self._call(gpu_uuid, "set_time_slice", lambda: self._backend.set_time_slice(gpu_uuid, interval))

    def reset_time_slice(self, gpu_uuid: str, interval: str = "Default") -> None:
        """Set the quantum back; a GPU that cannot have one (MIG is on) never got one."""
        try:
            self.set_time_slice(gpu_uuid, interval)
        except HardwareError as error:
            if error.code is not NvmlCode.NOT_SUPPORTED:
                raise
        reached("undone-set-time-slice")

    def set_compute_mode(self, gpu_uuid: str, mode: ComputeMode) -> None:
        """Choose which processes may compute on a GPU."""
        self._call(gpu_uuid, "set_compute_mode", lambda: self._backend.set_compute_mode(gpu_uuid, mode))

    def reset_compute_mode(self, gpu_uuid: str) -> None:
        """Let any number of processes compute again; a GPU in MIG mode lets them anyway."""
        try:
            self.set_compute_mode(gpu_uuid, ComputeMode.DEFAULT)
        except HardwareError as error:
            if error.code is not NvmlCode.NOT_SUPPORTED:
                raise

    def _gone(self, gpu_uuid: str, name: str, act: Callable[[], None]) -> None:
        try:
            self._call(gpu_uuid, name, act)
        except HardwareError as error:
            if error.code is not NvmlCode.NOT_FOUND:
                raise

    def _call(self, gpu_uuid: str, name: str, act: Callable[[], T], deadline_seconds: float | None = None) -> T:
        try:
            return self._workers.call(gpu_uuid, name, act, deadline_seconds or self._deadlines.call_seconds)
        except DeviceHung as error:
            raise Hung(str(error).partition(";")[0], gpu_uuid=gpu_uuid, first=True) from error
        except BackendError as error:
            raise HardwareError(gpu_uuid, f"{name} on {gpu_uuid or 'the node'}", error) from error
