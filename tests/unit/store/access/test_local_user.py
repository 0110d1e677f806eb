"""Who runs a process: the kernel's word, not the environment's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from deputize.store.access import local_user as module
from deputize.store.access.local_user import ANYBODY, local_person, local_user, sudo_user


def test_the_environment_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    before = local_user()
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER", "SUDO_UID"):
        monkeypatch.setenv(variable, "alice")
    assert local_user() == before and pwd.getpwuid(os.getuid()).pw_name in before


def test_whoever_logged_in_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = tmp_path / "loginuid"
    monkeypatch.setattr(module, "_LOGIN_UID", login)
    me = pwd.getpwuid(os.getuid()).pw_name
    assert local_user() == f"local:{me}"
    for text in (str(os.getuid()), "4294967295", "nonsense"):
        login.write_text(text)
        assert local_user() == f"local:{me}"
    login.write_text("54321")
    assert local_user() == f"local:54321 (as {me})"


def test_sudo_is_a_hint_for_root_without_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOGIN_UID", tmp_path / "none")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    assert sudo_user() == "alice"
    monkeypatch.setenv("SUDO_USER", "a[/x] b")
    assert sudo_user() == ""
    monkeypatch.setenv("SUDO_USER", "alice")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert sudo_user() == ""


def test_a_person_is_who_logged_in_whomever_they_act_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, uid_map = tmp_path / "loginuid", tmp_path / "uid_map"
    monkeypatch.setattr(module, "_LOGIN_UID", login)
    monkeypatch.setattr(module, "_UID_MAP", uid_map)
    uid_map.write_text("         0          0 4294967295\n")
    login.write_text("54321")
    for user in (0, 4242, 54321):
        monkeypatch.setattr(os, "getuid", lambda user=user: user)
        assert local_person() == "local:54321"
    login.write_text("4294967295")
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert local_person() == "local:4242"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert local_person() == ANYBODY, "root without a login may become every user"
    login.write_text("54321")
    for text in ("1234 0 1", "0 100000 65536", "nonsense"):
        uid_map.write_text(text)
        assert local_person() == ANYBODY, "whoever makes a user namespace chooses the uid"
    uid_map.unlink()
    assert local_person() == ANYBODY
