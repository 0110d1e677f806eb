"""The page at which people sign in with an API key, and the files that every page uses.

Anybody may ask for these, so they cost little: the process that makes the other pages is asked by people with a session
only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from importlib import resources

from deputize.core.errors import DeputizeError, NotAuthenticated
from deputize.http.handler import HttpReply
from deputize.web.page_request import PageRequest, asset_reply, html_reply, read_page_request, redirect
from deputize.web.sign_in import KeySignIn, check_same_origin, session_cookie

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Deputize</title>
<link rel="icon" type="image/svg+xml" href="{base}/assets/icon.svg">
<link rel="stylesheet" href="{base}/assets/dashboard.css">
</head>
<body>
<main id="main">
<section class="card narrow">
  <h1>deputize</h1>
  {refused}<form method="post" action="{base}/sign-in">
    <label>API key of an operator, curator, auditor or admin
      <input type="password" name="key" required autocomplete="off" spellcheck="false" autofocus></label>
    <div class="buttons"><button>Sign in</button></div>
  </form>
  <p class="soft">A key is made with <code>deputize keys create --role operator</code>. It is sent once; a session of eight hours
  stands for it, and ends when the key is revoked.</p>
</section>
</main>
</body>
</html>
"""


class SignInPage:
    """Answers whoever has no session."""

    def __init__(
        self,
        sign_in: KeySignIn,
        *,
        base: str,
        cookie: str,
        is_https: bool,
        on_refused: Callable[[DeputizeError, str], None] = lambda error, key: None,
    ) -> None:
        """
        Args:
            sign_in: checks keys and sessions.
            base: path that all pages lie below.
            cookie: name of the cookie of a session.
            is_https: browsers ask over HTTPS only.
            on_refused: is told of a key that was shown in vain.
        """
        self._sign_in, self._base, self._cookie, self._is_https = sign_in, base, cookie, is_https
        self._on_refused = on_refused

    def takes(self, target: str, headers: Mapping[str, str]) -> bool:
        """True for what is answered here: signing in, files, and everything of people without a session."""
        path = target.partition("?")[0].removeprefix(self._base)
        if path.startswith(("/assets/", "/sign-in")):
            return True
        request = PageRequest("GET", path, {}, {}, headers)
        return not self._sign_in.sessions.name_of(request.cookie(self._cookie))

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """The reply to a request that it takes; every error becomes one.

        Args:
            method: as sent.
            target: path with its query.
            headers: lower-case names.
            body: as sent.
        """
        key = ""
        try:
            request = read_page_request(method.replace("HEAD", "GET"), target, headers, body, self._base)
            if request.path.startswith("/assets/"):
                found = page_file(request.path.removeprefix("/assets/"))
                return found or html_reply(self._page("There is no such file."), 404)
            if method not in ("GET", "HEAD", "POST"):
                return html_reply(self._page("This page is read with GET."), 405)
            if request.method != "POST":
                return html_reply(self._page())
            check_same_origin(request)
            key = request.form.get("key", "")
            begun = self._sign_in.begin(request)
            if not begun:
                raise NotAuthenticated("Sign in with an API key.")
        except DeputizeError as error:
            self._on_refused(error, key)
            return html_reply(self._page(str(error)), error.http_status)
        cookie = session_cookie(self._cookie, begun, path=self._base, is_https=self._is_https)
        return redirect(f"{self._base}/", [cookie])

    def _page(self, refused: str = "") -> str:
        said = f'<p class="warn" role="alert">{escape(refused)}</p>\n  ' if refused else ""
        return _PAGE.format(base=escape(self._base), refused=said)


@cache
def page_file(name: str) -> HttpReply | None:
    """A style, script or picture of the pages; None where there is none of this name."""
    stem, _, suffix = name.partition(".")
    if not stem.isalpha() or len(name) > 64 or suffix not in _MEDIA_TYPES:
        return None
    found = resources.files("deputize.dashboard").joinpath("assets").joinpath(name)
    return asset_reply(found.read_bytes(), _MEDIA_TYPES[suffix]) if found.is_file() else None
