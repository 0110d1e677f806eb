"""`deputize dashboard` as a process: on this machine only, by its own name only, and it ends when told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.unit.dashboard.conftest import Desk


def fetched(url: str, **headers: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
    )
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_link_opens_the_page_and_no_other_name_does(desk: Desk, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "deputize.cli.main",
        "--home",
        str(desk.home.path),
        "dashboard",
        "--port",
        "0",
    ]
    environ = {name: value for name, value in os.environ.items() if name != "DEPUTIZE_KEY"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environ) as process:
        try:
            assert process.stderr is not None
            process.stderr.readline()
            link = process.stderr.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/\?token=[\w-]{43}", link)
            status, page = fetched(link)
            assert status == 200 and "Calls a minute" in page
            assert "Open the link" in fetched(link.partition("?")[0])[1]
            assert fetched(link, Host="evil.example")[0] == 403
            # the cookie is for a path that nobody else knows, and nothing without it tells that
            base = link.split("/")[3]
            host = link[: link.index(base) - 1]
            for path in (
                "",
                "/",
                "/?token=" + link.partition("=")[2],
                "/calls",
                "/assets/dashboard.css",
                f"/{base}x/",
            ):
                status, page = fetched(host + path)
                assert status == 401 and base not in page, path
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
