"""Every error a user can meet, drawn as one tree.

DeputizeError (exit 1, 500)
├── UsageError        exit 2, 400   the command or request was put together wrongly
├── BadInput          exit 3, 400   a file, line or value that cannot be used
│   ├── RequestTooLarge      413
│   └── UnsupportedMediaType 415
├── MissingExtra      exit 4, 501   an optional package or a model is not here
├── AccessDenied      exit 5, 403   the role may not do this
│   └── NotAuthenticated     401
├── OverLimit         exit 1, 429   rate or budget limit; retry
├── UpstreamError     exit 1, 502   the LLM behind the gateway could not answer; retry
│   └── UpstreamTimeout      504
└── StoreError        exit 1, 503   the store cannot take or give data now; retry
    └── Tampered      exit 1, 500   stored data does not match its seal or its chain

Exit 6 is no error: `deputize convert` ends so where the log has too few episodes to certify any of its tasks.
"""

from __future__ import annotations

from typing import ClassVar


class DeputizeError(Exception):
    """Base of all errors with a sentence for the user; `str(error)` is that sentence."""

    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retry: ClassVar[bool] = False
    code: ClassVar[str] = "internal_error"


class UsageError(DeputizeError):
    """The command, call or request was put together wrongly."""

    http_status, exit_code, code = 400, 2, "usage"


class BadInput(DeputizeError):
    """A file, line or value cannot be used."""

    http_status, exit_code, code = 400, 3, "bad_input"


class RequestTooLarge(BadInput):
    """The body of a request is larger than the gateway takes."""

    http_status, code = 413, "request_too_large"


class UnsupportedMediaType(BadInput):
    """The body of a request is in a form that the gateway does not read."""

    http_status, code = 415, "unsupported_media_type"


class MissingExtra(DeputizeError):
    """An optional package or a model is not here; the sentence says how to get it."""

    http_status, exit_code, code = 501, 4, "missing_extra"

    @classmethod
    def package(cls, package: str, extra: str) -> MissingExtra:
        """A package of an extra is not installed; names the line that installs it."""
        return cls(f"{package} is not installed. Install it with: pip install 'deputize[{extra}]'")


class AccessDenied(DeputizeError):
    """The role may not do this."""

    http_status, exit_code, code = 403, 5, "access_denied"


class NotAuthenticated(AccessDenied):
    """No API key came, or one that is not known."""

    http_status, code = 401, "not_authenticated"


class OverLimit(DeputizeError):
    """A rate or budget limit is reached; `retry_after_s` says when to try again."""

    http_status, retry, code = 429, True, "over_limit"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UpstreamError(DeputizeError):
    """The LLM behind the gateway could not answer."""

    http_status, retry, code = 502, True, "upstream_error"


class UpstreamTimeout(UpstreamError):
    """It did not answer in time."""

    http_status, code = 504, "upstream_timeout"

    def __init__(self, message: str, *, asked: bool = True) -> None:
        super().__init__(message)
        self.asked = asked
        """The request had been sent, so that the server may still be working on it."""


class StoreError(DeputizeError):
    """The store cannot take or give data now, or the keys are not here."""

    http_status, retry, code = 503, True, "store_error"


class Tampered(StoreError):
    """Stored data does not match its seal or its chain."""

    http_status, retry, code = 500, False, "tampered"
