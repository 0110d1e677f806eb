"""A PostgreSQL of the tests' own: one cluster in a temporary folder for each process, one schema for each folder
asked about."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

ROLE = "deputize"
_WAIT_S = 60.0


class Cluster:
    """A running server that listens on a socket in its folder alone."""

    def __init__(self, programs: Path, *, fsync: str = "off") -> None:
        """`fsync` "off" holds against kill -9, and not against a power cut."""
        self.bin_path, self._fsync = programs, fsync
        # a socket's path has at most 107 bytes
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.data = self.folder / "data"
        # the server refuses to run as root
        self._as: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        )
        if self._as:
            shutil.chown(self.folder, "postgres", "postgres")
        self.run(
            "initdb", "-D", self.data, "-U", "admin", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        self.start()
        try:
            self.sql(f"CREATE ROLE {ROLE} LOGIN")
            self.sql(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        except BaseException:
            self.remove()
            raise

    def run(self, program: str, *arguments: str | Path) -> str:
        """Runs a program of the server; what it prints."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self.bin_path / program, *arguments],
            **self._as,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            timeout=_WAIT_S,
        )
        assert done.returncode == 0, f"{program}: {done.stdout[-500:]}{done.stderr[-500:]}"
        return done.stdout

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": self._fsync,
            "max_connections": "60",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [self.bin_path / "postgres", "-D", self.data, *options],
                **self._as,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # a signal to the group of a test's processes is not meant for the server
            )
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until and self.server.poll() is None:
            ready = subprocess.run(
                [self.bin_path / "pg_isready", "-q", "-h", self.folder], check=False, timeout=_WAIT_S
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(self.log())

    def log(self) -> str:
        """The end of what the server has said."""
        return (self.folder / "log").read_text()[-2000:]

    def signal_all(self, number: signal.Signals) -> None:
        """Sends a signal to the server and to its processes, as SIGSTOP: it stands still, and its connections stay."""
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        for pid in (self.server.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):  # a session that has ended meanwhile
                os.kill(pid, number)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Runs a statement as the administrator, whom row-level security does not bind; what it prints."""
        return self.run(
            "psql",
            "-h",
            self.folder,
            "-U",
            "admin",
            "-d",
            database,
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        )

    def kill(self) -> None:
        """kill -9 of the server and of every session."""
        sessions = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.server.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        for pid in (str(self.server.pid), *sessions):
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.server.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stops the server at once."""
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGQUIT)
            self.server.wait()

    def remove(self) -> None:
        """Stops the server and deletes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, role: str = ROLE) -> str:
        """The address of the database."""
        return f"postgresql://{role}@/{ROLE}?host={self.folder}"


def why_not() -> str:
    """The reason why there can be no server here; "" where there can."""
    if bin_path() is None:
        return "PostgreSQL is not installed: apt-get install postgresql-15"
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL does not run as root, and there is no user postgres"
    try:
        import psycopg_pool  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install 'deputize[postgres]'"
    return ""


def bin_path() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def cluster() -> Cluster:
    """The server of this process, started on first use; the test is skipped where there can be none.

    A server that has ended since the last test says why and is started again: one fault fails one test.
    """
    found = _only_cluster()
    if found.server.poll() is not None:
        sys.stderr.write(f"the server ended: {found.log()}\n")
        found.start()
    return found


@functools.cache
def _only_cluster() -> Cluster:
    if reason := why_not():
        pytest.skip(reason)
    programs = bin_path()
    assert programs is not None
    made = Cluster(programs)
    atexit.register(_remove_in, os.getpid(), made)
    return made


def _remove_in(pid: int, made: Cluster) -> None:
    if os.getpid() == pid:  # a fork of a test's process that ends in the ordinary way comes here as well
        made.remove()


def options_for(folder: Path) -> dict[str, Any]:
    """`[store.options]` of a home: a schema of its own, the same for the same folder."""
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return {"url": cluster().url(), "schema": f"s_{digest}"}
