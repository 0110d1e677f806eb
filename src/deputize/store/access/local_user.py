"""Who runs this process, as the kernel knows it. The environment is not asked: anybody sets LOGNAME to any name."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

_LOGIN_UID = Path("/proc/self/loginuid")
_UID_MAP = Path("/proc/self/uid_map")
_NO_LOGIN = 2**32 - 1
ANYBODY = "local:*"
"""A person of whom nothing is known."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


def local_user() -> str:
    """`local:NAME`, the user whom the process runs as; `local:NAME (as OTHER)` where NAME logged in and works as
    another user.

    The login uid is set once at login and is kept through su and sudo (audit subsystem, `pam_loginuid`).
    """
    user, login = os.getuid(), _login_uid()
    if login is None or login == user:
        return f"local:{_name(user)}"
    return f"local:{_name(login)} (as {_name(user)})"


def local_person() -> str:
    """The person behind `local_user`, whomever they act as: `local:NAME` of the login, else of the user.

    ANYBODY where the kernel does not vouch for a name: root without a login may become every user, and in a user
    namespace whoever made it chose the uid.
    """
    login = _login_uid()
    if _in_user_namespace() or (login is None and os.getuid() == 0):
        return ANYBODY
    return f"local:{_name(os.getuid() if login is None else login)}"


def sudo_user() -> str:
    """Who used sudo, where the kernel knows no login: sudo says it through the environment, so it is only a hint. ""
    where nobody did."""
    if os.getuid() != 0 or _login_uid() is not None:
        return ""
    name = os.environ.get("SUDO_USER", "")
    return name if _PLAIN.fullmatch(name) else ""


def _in_user_namespace() -> bool:
    try:
        return _UID_MAP.read_text("ascii").split() != ["0", "0", str(_NO_LOGIN)]
    except (OSError, ValueError):
        return True


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
