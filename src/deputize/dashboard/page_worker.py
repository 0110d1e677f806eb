"""`python -m deputize.dashboard.page_worker`: the process that makes the pages at /ui of a gateway.

It reads its settings and then requests from its standard input, as messages with their lengths before them, answers
each on its standard output, and ends when its input does. So counting calls and making pages take nothing from the
gateway's event loop.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import IO

import msgspec

from deputize.dashboard.call_reader import CallReader
from deputize.dashboard.pages import Pages
from deputize.home import Home
from deputize.privacy.masking.detector_worker import read_message, write_message
from deputize.web.sessions import Sessions
from deputize.web.sign_in import KeySignIn

_NICE = 5
"""Agents come first."""


class PageSettings(msgspec.Struct, frozen=True):
    """Settings of the process, its first message."""

    home: str
    base: str
    cookie: str
    is_https: bool = False


PageMessage = tuple[str, str, dict[str, str], bytes]
"""(method, path with its query, lower-case headers, body)"""


def main(source: IO[bytes], target: IO[bytes]) -> int:
    """Answers until the input ends; returns the exit code."""
    first = read_message(source)
    if first is None:
        return 0
    settings = msgspec.msgpack.decode(first, type=PageSettings)
    decoder = msgspec.msgpack.Decoder(PageMessage)
    with Home(Path(settings.home), falls_back=True) as home:
        reader = CallReader(home)
        # from the keys of the home, so that every worker of a gateway knows the sessions of the others
        sessions = Sessions(home.keyring.derive("dashboard sessions"), home.now)
        pages = Pages(
            home,
            reader,
            KeySignIn(home.api_keys, sessions),
            cookie=settings.cookie,
            base=settings.base,
            is_https=settings.is_https,
        )
        reader.start()
        while (message := read_message(source)) is not None:
            write_message(target, tuple(pages.answer(*decoder.decode(message))))
        reader.stop()
        pages.close()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the gateway ends this process
    os.nice(_NICE)
    os.umask(0o077)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not print into the answers
    sys.exit(main(sys.stdin.buffer, answers))
