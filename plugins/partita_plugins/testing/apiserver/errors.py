"""Answers that are not success, with the codes, reasons and `Status` body that Kubernetes clients expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong with an object."""

    field: str
    """Path of the field, as in `spec.devices[3].name`."""

    message: str
    """What is wrong, and what is allowed."""

    reason: str = "FieldValueInvalid"
    """Kubernetes' name for this kind of mistake."""


class ApiError(Exception):
    """A refusal by the API server; `status()` is the body that a client gets."""

    def __init__(
        self, code: int, reason: str, message: str, *, details: Json | None = None, causes: tuple[Cause, ...] = ()
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.causes = causes

    @property
    def advice(self) -> str:
        """What is to be changed; the same for every generated name."""
        return "; ".join(f"{cause.field}: {cause.message}" for cause in self.causes) or self.message

    def status(self) -> Json:
        details = dict(self.details)
        if self.causes:
            details["causes"] = [
                {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in self.causes
            ]
        body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= {"message": self.message, "reason": self.reason, "code": self.code}
        return body | ({"details": details} if details else {})


def success(name: str = "", plural: str = "", uid: str = "", code: int = 200) -> Json:
    """The `Status` of an operation that has no object to give back."""
    details = {key: value for key, value in (("name", name), ("kind", plural), ("uid", uid)) if value}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": code,
        "details": details,
    }


def not_found(qualified: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{qualified} "{name}" not found', details={"name": name, "kind": qualified})


def already_exists(qualified: str, name: str) -> ApiError:
    message = f'{qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details={"name": name, "kind": qualified})


def conflict(qualified: str, name: str, why: str = "") -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details={"name": name, "kind": qualified})


def invalid(kind: str, group: str, name: str, causes: tuple[Cause, ...]) -> ApiError:
    listed = [f"{cause.field}: {cause.message}" for cause in causes]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = {"name": name, "group": group, "kind": kind}
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details=details, causes=causes)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(message: str) -> ApiError:
    return ApiError(403, "Forbidden", message)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unknown_path(path: str) -> ApiError:
    return ApiError(404, "NotFound", f"the server could not find the requested resource ({path})")


def unsupported_media(kind: str, known: tuple[str, ...]) -> ApiError:
    message = f"the body of the request was in an unknown format ({kind}) - accepted media types: {', '.join(known)}"
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(limit: int) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit} bytes")
