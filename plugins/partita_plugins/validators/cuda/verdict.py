"""What a child's look means: findings about the device, or an error about everything else."""

from __future__ import annotations

from collections.abc import Sequence

from partita_plugins.contracts import Look, ValidationTarget
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.validators.cuda.conversation import Heard
from partita_plugins.validators.cuda.messages import Answer, Refusal
from partita_plugins.validators.cuda.plan import SHARED
from partita_plugins.validators.findings import wrong_memory_size, wrong_multiprocessors

GIVEN_UP = "given up"
KILLED = -9

RESERVED_MIB, RESERVED_SHARE = 640, 0.02
"""How much less than NVML's total CUDA may see, whichever is more: the driver keeps some for itself. Users report
256 MiB of a T4's 15,360, 482 of an A30's, 407 of an H100 PCIe's 81,559 and 881 of an A100's 81,920; MIG instances show
all of NVML's figure. What a fault takes away is a memory stack, of 4 GiB and more."""


def answer_of(heard: Heard, look: Look) -> Answer:
    """The answer, or one made of what else is known of the child.

    Raises BackendError where nothing was learnt of the device: it is busy, something is missing on the node, or it was
    not open in time.
    """
    if isinstance(heard.answer, Answer):
        return _whole(heard.answer, look)
    if isinstance(heard.answer, Refusal):
        raise BackendError(heard.answer.code, heard.answer.message, advice=heard.answer.advice)
    if heard.gave_up:
        return Answer(skipped=GIVEN_UP)
    if heard.garbage:
        return Answer(findings=(f"the validation process answered {heard.garbage!r}",))
    if not heard.late:
        crash = _crash(heard)
        if heard.started:
            return Answer(findings=(crash,))
        raise BackendError(
            NvmlCode.UNKNOWN,
            f"{crash}, before the device was open",
            advice="see whether the image fits the node's CPU and NVIDIA's libraries; or use --validator none",
        )
    if heard.started and look.shared:
        # Others have their turns on it, of a length that the look does not know.
        return Answer(skipped=SHARED)
    if heard.started:
        return Answer(findings=(f"the device did not finish within {look.deadline_seconds:g} s",))
    raise BackendError(
        NvmlCode.TIMEOUT,
        f"the device was not open within {look.deadline_seconds:g} s",
        advice="switch persistence mode on, and see whether the node has CPU time to spare",
    )


def _whole(answer: Answer, look: Look) -> Answer:
    """Raises BackendError for copies that were not made: they prove nothing, and nobody gave them up."""
    if answer.pairs_left and not answer.findings and not look.given_up():
        raise BackendError(
            NvmlCode.TIMEOUT,
            f"{answer.pairs_left} copies from GPU to GPU were not made within {look.deadline_seconds:g} s",
            advice="switch persistence mode on, and see whether the node has CPU time to spare",
        )
    return answer


def _crash(heard: Heard) -> str:
    """How a child ended that said nothing. SIGKILL from outside is the kernel's, out of memory: no device's fault."""
    code = heard.exit_code
    if code == KILLED:
        raise BackendError(
            NvmlCode.INSUFFICIENT_RESOURCES,
            "the validation process was killed, probably for want of host memory",
            advice="raise the memory limit of the driver's container",
        )
    how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
    return f"the validation process ended {how}{f': {heard.last_words}' if heard.last_words else ''}"


def figures(answer: Answer, targets: Sequence[ValidationTarget]) -> tuple[str, ...]:
    """Memory size and multiprocessors against what was promised, of one device.

    NVML counts cores of a whole GPU: how many make a multiprocessor is a table's word, which a new architecture may
    prove wrong. So more than promised is no finding, and no promise none either.
    """
    if len(targets) != 1 or not answer.memory_bytes:
        return ()
    (target,) = targets
    found = []
    memory_mib = answer.memory_bytes >> 20
    if memory_mib < target.memory_mib - max(RESERVED_MIB, RESERVED_SHARE * target.memory_mib):
        found.append(wrong_memory_size(memory_mib, target.memory_mib))
    if answer.multiprocessors < target.multiprocessors:
        found.append(wrong_multiprocessors(answer.multiprocessors, target.multiprocessors))
    return tuple(found)
