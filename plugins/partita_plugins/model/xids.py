"""XIDs that only a reset of the GPU or a reboot of the node mends: a GPU that reported one stays faulty until then.

From NVIDIA's Xid catalog (docs.nvidia.com/deploy/xid-errors, edition of October 2025), its "immediate action". What a
driver makes of every XID is the driver's affair; a test holds the two together.
"""

from __future__ import annotations

MENDED_BY_RESET = frozenset({46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 151, 154, 155, 156, 158})
MENDED_BY_REBOOT = frozenset({79})
