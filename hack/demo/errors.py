"""What may go wrong in the demo."""

from __future__ import annotations


class DemoError(Exception):
    """A step did not do what it should. `process` names the one whose log tells most; empty: nobody in particular."""

    def __init__(self, message: str, *, process: str = "") -> None:
        super().__init__(message)
        self.process = process
