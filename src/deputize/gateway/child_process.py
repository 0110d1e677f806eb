"""A gateway in a child process, for demos and tests."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from deputize.core.errors import UpstreamError, UsageError
from deputize.files import make_file, make_folder
from deputize.gateway.addresses import free_port
from deputize.gateway.settings import read_settings


class GatewayProcess:
    """A gateway in a child process. Use as a context manager, or call stop()."""

    def __init__(self, process: subprocess.Popen[bytes], base_url: str, log_path: Path) -> None:
        self.process = process
        self.base_url = base_url
        """Without /v1."""
        self.log_path = log_path

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, timeout_s: float = 40.0) -> int:
        """Asks it to finish its answers and end, and kills it where it does not; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.process.returncode

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_gateway_process(
    home: Path,
    upstream: str | None = None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    workers: int = 1,
    api_key_env: str | None = None,
    timeout_s: float = 180.0,
    environ: dict[str, str] | None = None,
) -> GatewayProcess:
    """Starts `serve` in a child process and waits until it answers. It never outlives this process.

    Args:
        home: the home folder.
        upstream: where the LLM is; None: as in config.toml.
        port: 0 for any free one.
        host: address to listen on.
        workers: worker processes.
        api_key_env: variable that holds the upstream's key.
        timeout_s: how long to wait for /healthz.
        environ: environment of the child, os.environ by default.

    Raises:
        UsageError: it ended at once; the sentence is the last line of its log.
        UpstreamError: it did not answer in time.
    """
    chosen = port or free_port(host)
    log_path = home / "gateway.log"
    make_folder(home)
    make_file(log_path)
    command = [
        sys.executable,
        "-m",
        "deputize.gateway",
        str(home),
        host,
        str(chosen),
        str(workers),
        upstream or "",
        api_key_env or "",
    ]
    with log_path.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=environ, start_new_session=True
        )
    scheme = read_settings(home).scheme
    handle = GatewayProcess(process, f"{scheme}://{host}:{chosen}", log_path)
    try:
        _wait_until_healthy(handle, timeout_s)
    except (UsageError, UpstreamError):
        handle.stop()
        raise
    return handle


def _wait_until_healthy(handle: GatewayProcess, timeout_s: float) -> None:
    # the certificate is not checked here: it is for the gateway's clients to check
    unchecked = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    # it runs here, so no proxy that the environment names is asked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), unchecked)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if handle.process.poll() is not None:
            lines = handle.log_path.read_text("utf-8", errors="replace").strip().splitlines()
            raise UsageError(f"The gateway did not start: {lines[-1] if lines else 'it printed nothing'}")
        try:
            with opener.open(f"{handle.base_url}/healthz", timeout=1.0):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise UpstreamError(f"The gateway did not answer within {timeout_s:.0f} s; see {handle.log_path}.")
