"""What hack/kernels --check finds in the machine code."""

from __future__ import annotations

import re

from hack.kernel_images.machine_code import INSTRUCTIONS, READ_SINCE, missing_instructions, spilled

from partita_plugins.testing.gpu.build import KERNELS
from partita_plugins.validators.kernels import CUBINS
from partita_plugins.validators.kernels import KERNELS as NAMES_OF_KERNELS

USAGE = " Function fill:\n  REG:19 STACK:0 SHARED:0 LOCAL:0\n Function check:\n  REG:36 STACK:{} SHARED:0 LOCAL:{}\n"


def _sass(**code: str) -> str:
    return "\n".join(f"\t\tFunction : {kernel}\n        /*0100*/   {one} R4, R8 ;" for kernel, one in code.items())


def _sound(capability: int) -> dict[str, str]:
    """Instructions that match every kernel's pattern, from the newest entry that counts."""
    found = {}
    for kernel, wanted in INSTRUCTIONS.items():
        since = [one for one in wanted if one <= capability]
        if since:
            found[kernel] = wanted[max(since)].replace("\\b", "").replace("\\", "")
    return found


def test_every_kernel_s_machine_code_is_looked_at() -> None:
    source = "".join(path.read_text() for path in KERNELS.glob("*.cu"))
    assert set(re.findall(r"KERNEL (\w+)\(", source)) == set(INSTRUCTIONS) == set(NAMES_OF_KERNELS)


def test_a_kernel_without_its_tensor_core_instruction_is_told() -> None:
    for capability in (one for one in CUBINS if one >= READ_SINCE):
        sound = _sound(capability)
        assert list(missing_instructions(capability, _sass(**sound))) == []
        (told,) = missing_instructions(capability, _sass(**sound | {"product_fp16": "FFMA"}))
        assert told.startswith(f"sm_{capability}: product_fp16 has no HMMA")


def test_fp8_is_multiplied_by_its_own_instruction_where_a_warp_has_one() -> None:
    (told,) = missing_instructions(120, _sass(**_sound(120) | {"product_e4m3": "HMMA.16816.F32"}))
    assert "product_e4m3 has no QMMA" in told


def test_a_spilled_register_is_told() -> None:
    assert list(spilled(90, USAGE.format(0, 0))) == []
    assert list(spilled(90, USAGE.format(16, 8))) == ["sm_90: check has STACK:16", "sm_90: check has LOCAL:8"]
    assert list(spilled(90, "")) == ["sm_90: nothing is known of what the kernels use"]
