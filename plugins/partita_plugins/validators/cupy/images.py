"""Which compiled kernels a device loads."""

from __future__ import annotations

from pathlib import Path

from partita_plugins.errors import InvalidInput, NvmlCode
from partita_plugins.validators.cuda.port import Unavailable
from partita_plugins.validators.kernels import BUILT, CUBINS, NAMES, PTX, PTX_NAME, cubin


def require_images(built: Path = BUILT) -> None:
    """Raises InvalidInput where compiled kernels are missing."""
    missing = [name for name in NAMES if not (built / name).is_file()]
    if missing:
        raise InvalidInput(
            f"the compiled GPU kernels {', '.join(missing)} are not there",
            advice="run hack/kernels in the source tree, or use Partita's image",
        )


def image_for(compute_capability: int, built: Path = BUILT) -> Path:
    """What a device loads. A cubin runs on later devices of its own major version too.

    Raises Unavailable for a device that is older than all.
    """
    same_major = [one for one in CUBINS if one // 10 == compute_capability // 10 and one <= compute_capability]
    if same_major:
        return built / cubin(max(same_major))
    if compute_capability > PTX:
        return built / PTX_NAME
    raise Unavailable(
        NvmlCode.NOT_SUPPORTED,
        f"there are no kernels for compute capability {compute_capability / 10:.1f}",
        f"from {min(CUBINS) / 10:.1f} on GPUs can be validated; switch it off for other nodes (docs/settings.md)",
    )
