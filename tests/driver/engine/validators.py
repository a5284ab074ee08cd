"""Validators as the tests want them: what they were asked is kept, and what they find is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partita_plugins.contracts import Depth, Look, ValidationResult, ValidationTarget


def nothing(_target: ValidationTarget, _look: Look) -> None:
    """Nothing happens while it looks."""


@dataclass
class Scripted:
    """Passes every GPU and every copy, unless told otherwise."""

    name: str = "scripted"
    findings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By GPU UUID."""

    copies: tuple[str, ...] = ()
    """Findings of the next copies."""

    coverage: float = 1.0
    skipped: str = ""
    during: Callable[[ValidationTarget, Look], None] = nothing
    """Called while it looks."""

    looks: list[tuple[str, Look]] = field(default_factory=list)
    copied: list[tuple[tuple[str, ...], Look]] = field(default_factory=list)

    def validate(self, target: ValidationTarget, look: Look) -> ValidationResult:
        self.looks.append((target.gpu.uuid, look))
        self.during(target, look)
        return ValidationResult(
            method=self.name,
            depth=look.depth,
            seconds=0.01,
            findings=self.findings.get(target.gpu.uuid, ()),
            memory_begin=look.begin,
            memory_coverage=self.coverage if look.depth is Depth.FULL else 0.01,
            skipped=self.skipped if look.shared else "",
        )

    def validate_peers(self, targets: Sequence[ValidationTarget], look: Look) -> ValidationResult:
        self.copied.append((tuple(target.gpu.uuid for target in targets), look))
        return ValidationResult(method=self.name, depth=look.depth, seconds=0.01, findings=self.copies)
