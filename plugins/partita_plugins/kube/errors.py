"""What the API server refuses, by what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.errors import PartitaError, Permanent, Retryable


class ApiError(PartitaError):
    """The API server said no: `status` is the HTTP code, `reason` its word for it ("NotFound", "Conflict")."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason


class NotFound(ApiError):
    """The object is not there."""


class Conflict(ApiError):
    """Somebody else wrote first (409): read again and decide again."""


class Gone(ApiError):
    """The resource version is too old (410): list again."""


class Refused(ApiError, Permanent):
    """The request is wrong or not allowed (other 4xx): asking again will not help."""


class Unavailable(Retryable):
    """No answer, or one that says later (429, 5xx)."""


_BY_STATUS: Mapping[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone}


def error_of(code: int, reason: str, message: str) -> PartitaError:
    """The error that an answer of this status is."""
    if code == 429 or code >= 500:
        return Unavailable(f"the API server answered {code} {reason}: {message}", delay_seconds=1.0)
    return _BY_STATUS.get(code, Refused)(code, reason, message)
