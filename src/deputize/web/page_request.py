"""A request for a page, and the replies that pages are made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from deputize.core.errors import BadInput
from deputize.core.records import EVERY_TENANT
from deputize.http.handler import HttpReply
from deputize.http.headers import Headers
from deputize.store.access.roles import Actor

MAX_BODY_BYTES = 64 * 1024
_MAX_FIELDS = 32

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""What a page may load: its own files, and no script or style that stands in it."""
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; sandbox"
)
"""For the report of a run: one file with its style in it, and no script."""


class PageRequest(NamedTuple):
    """A request, taken apart."""

    method: str
    path: str
    """Without its query and without the base of the pages; "/" for the first one."""
    query: Mapping[str, str]
    form: Mapping[str, str]
    headers: Mapping[str, str]
    """Lower-case names."""
    written_path: str = ""
    """As `path`, with what is encoded in it: an id in it may hold a slash."""

    def cookie(self, name: str) -> str:
        """The value of a cookie; "" where there is none."""
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(self.headers.get("cookie", ""))
        except CookieError:
            return ""
        return jar[name].value if name in jar else ""


class Visit(NamedTuple):
    """A request of somebody who is signed in."""

    request: PageRequest
    actor: Actor
    token: str
    """For the forms of the page."""
    id: str = ""
    """The part of the path that names something."""

    @property
    def tenant(self) -> str:
        """The one tenant whose data are shown; "": all."""
        return "" if self.actor.tenant == EVERY_TENANT else self.actor.tenant


def read_page_request(
    method: str, target: str, headers: Mapping[str, str], body: bytes, base: str = ""
) -> PageRequest:
    """The request for a page.

    Args:
        method: GET, HEAD or POST.
        target: path with its query.
        headers: lower-case names.
        body: of a form.
        base: path that all pages lie below, such as /ui.

    Raises:
        BadInput: a form that is none, or is too large.
    """
    bare, _, query = target.partition("?")
    form: dict[str, str] = {}
    if method == "POST":
        declared = headers.get("content-type", "").partition(";")[0].strip().lower()
        if declared != "application/x-www-form-urlencoded" or len(body) > MAX_BODY_BYTES:
            raise BadInput("This page takes its own forms only.")
        form = _fields(body.decode("utf-8", "replace"))
    written = bare.removeprefix(base).rstrip("/") or "/"
    path = unquote(written, errors="replace")
    return PageRequest(method, path, _fields(query), form, headers, written)


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise BadInput("There are too many fields in this request.") from error


def html_reply(page: str, status: int = 200, more: Headers | None = None, policy: str = POLICY) -> HttpReply:
    """A page, which no browser keeps, frames or reads as anything else."""
    headers = [("content-type", "text/html; charset=utf-8"), ("content-security-policy", policy)]
    return HttpReply(status, [*headers, *_guarded(), *(more or [])], page.encode())


def redirect(to: str, more: Headers | None = None) -> HttpReply:
    """Sends a browser to another page by GET; `to` is a path of ours."""
    return HttpReply(303, [("location", to), *_guarded(), *(more or [])], b"")


def asset_reply(content: bytes, media_type: str) -> HttpReply:
    """A file of the package."""
    headers = [(n, v) for n, v in _guarded() if n != "cache-control"]
    return HttpReply(
        200, [("content-type", media_type), ("cache-control", "private, max-age=300"), *headers], content
    )


def _guarded() -> Headers:
    return [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        # with no-referrer a browser would not say where a form comes from
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ]
