"""Who runs this process, as the kernel knows it. The environment is not asked: anybody sets LOGNAME to any name."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

_LOGIN_UID = Path("/proc/self/loginuid")
_NO_LOGIN = 2**32 - 1
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


def local_user() -> str:
    """`local:NAME`, the user whom the process runs as; `local:NAME (as OTHER)` where NAME logged in and works as another user.

    The login uid is set once at login and is kept through su and sudo (audit subsystem, `pam_loginuid`).
    """
    user, login = os.getuid(), _login_uid()
    if login is None or login == user:
        return f"local:{_name(user)}"
    return f"local:{_name(login)} (as {_name(user)})"


def sudo_user() -> str:
    """Who used sudo, where the kernel knows no login: sudo says it through the environment, so it is only a hint. "" where nobody
    did."""
    if os.getuid() != 0 or _login_uid() is not None:
        return ""
    name = os.environ.get("SUDO_USER", "")
    return name if _PLAIN.fullmatch(name) else ""


def _login_uid() -> int | None:
    try:
        uid = int(_LOGIN_UID.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _NO_LOGIN else uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
