"""Who looks at the live page: the person who started `deputize dashboard`, or whoever shows the gateway an API key."""

from __future__ import annotations

import hmac
from typing import Protocol

from deputize.core.errors import AccessDenied, NotAuthenticated, StoreError
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.roles import Actor, Right, require
from deputize.web.page_request import PageRequest
from deputize.web.sessions import SESSION_S, Sessions

LAUNCH = "launch"
"""Name of the session of whoever opened the link."""


class SignIn(Protocol):
    """Tells who asks."""

    sessions: Sessions
    asks_for_key: bool
    """People sign in with an API key, on a page of ours."""

    def actor_of(self, cookie: str) -> Actor:
        """Who has a session. Raises NotAuthenticated where there is none."""
        ...

    def begin(self, request: PageRequest) -> str:
        """The cookie of a session that a request begins; "" where it begins none.

        Raises:
            NotAuthenticated, AccessDenied: it tried to.
        """
        ...


class LaunchLink:
    """The link that `deputize dashboard` prints: whoever has it acts for the person who started the command."""

    asks_for_key = False

    def __init__(self, token: str, actor: Actor, sessions: Sessions) -> None:
        self._token, self._actor, self.sessions = token, actor, sessions

    def actor_of(self, cookie: str) -> Actor:
        if self.sessions.name_of(cookie) != LAUNCH:
            raise NotAuthenticated("Open the link that `deputize dashboard` printed in its terminal.")
        return self._actor

    def begin(self, request: PageRequest) -> str:
        given = request.query.get("token", "")
        if not given:
            return ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise NotAuthenticated(
                "This link is of an earlier start. Open the one that `deputize dashboard` printed last."
            )
        return self.sessions.begin(LAUNCH)


class KeySignIn:
    """API keys of people: a key is shown once, in a form, and a session of some hours stands for it."""

    asks_for_key = True

    def __init__(self, keys: ApiKeys, sessions: Sessions) -> None:
        self._keys, self.sessions = keys, sessions

    def actor_of(self, cookie: str) -> Actor:
        name = self.sessions.name_of(cookie)
        if not name:
            raise NotAuthenticated("Sign in with an API key.")
        try:
            # looked up each time: a key that is revoked ends its sessions
            return self._keys.open_key(name).actor
        except StoreError as error:
            raise NotAuthenticated("No API key can be checked now.") from error

    def begin(self, request: PageRequest) -> str:
        if request.method != "POST" or request.path != "/sign-in":
            return ""
        try:
            key = self._keys.verify(request.form.get("key", ""))
        except StoreError as error:
            raise NotAuthenticated("No API key can be checked now.") from error
        require(key.actor, Right.SEE_STATUS)
        return self.sessions.begin(key.id)


def session_cookie(name: str, value: str, *, path: str, is_https: bool) -> tuple[str, str]:
    """The header that has a browser keep a session; "" ends it. No script reads it, and no other site has it sent."""
    age = int(SESSION_S) if value else 0
    secure = "; Secure" if is_https else ""
    return (
        "set-cookie",
        f"{name}={value}; Path={path or '/'}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}",
    )


def check_same_origin(request: PageRequest) -> None:
    """Refuses a form that a page of another site has sent.

    Raises:
        AccessDenied: the origin is not the host that was asked.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:  # a browser's own word, which no page can set
        if site != "same-origin":
            raise AccessDenied("This form was sent by a page of another site.")
        return
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    if not host or origin.partition("://")[2] != host:
        raise AccessDenied("This form was sent by a page of another origin, or does not say of which.")
