"""Sessions of the live page: signed cookies, and tokens that show that a form is the page's own."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable

SESSION_S = 8 * 3600.0
"""After so long a person signs in again."""

_FORM = re.compile(r"([A-Za-z0-9_-]{1,64})\.([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


class Sessions:
    """Makes and checks sessions. Nothing is kept: a cookie says whose it is and until when, under a MAC."""

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        """
        Args:
            secret: 32 bytes that only the server has.
            clock: Unix seconds.
        """
        self._secret, self._clock = secret, clock

    def begin(self, name: str) -> str:
        """The value of a cookie for somebody, by a name of letters, digits, - and _."""
        bare = f"{name}.{int(self._clock() + SESSION_S)}.{os.urandom(16).hex()}"
        return f"{bare}.{self._mac('session', bare)}"

    def name_of(self, cookie: str) -> str:
        """Whose session a cookie is; "" where it is none, or over."""
        form = _FORM.fullmatch(cookie)
        if form is None or not hmac.compare_digest(form[4], self._mac("session", cookie.rpartition(".")[0])):
            return ""
        return form[1] if int(form[2]) > self._clock() else ""

    def form_token(self, cookie: str) -> str:
        """The token that the forms of a session carry, which no page of another site knows."""
        return self._mac("form", cookie)

    def is_form_token(self, cookie: str, given: str) -> bool:
        """True for the token of this session."""
        return hmac.compare_digest(self.form_token(cookie).encode(), given.encode())

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.digest(self._secret, f"{purpose}\x00{text}".encode(), "sha256").hex()
