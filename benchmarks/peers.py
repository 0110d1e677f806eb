"""The gateways ours is compared with: how each is installed into an environment of its own, and started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENTS = Path(".env-peers")


@dataclass(frozen=True)
class Launch:
    """How to start a gateway on `port` in front of `upstream`."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    name: str
    work: str
    """What it does for each request, in a few words."""
    install: Callable[[], None]
    launch: Callable[[Path, int, str], Launch]
    """(a folder to write in, port, upstream base url without /v1) -> how to start it."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _run(*argv: str, cwd: Path | None = None) -> None:
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])


def _venv(name: str, requirement: str) -> Callable[[], None]:
    def install() -> None:
        folder = ENVIRONMENTS / name
        if (folder / "ready").exists():
            return
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin" / "pip"), "install", "-q", requirement)
        (folder / "ready").touch()

    return install


def _npm(name: str, requirement: str) -> Callable[[], None]:
    def install() -> None:
        folder = ENVIRONMENTS / name
        if (folder / "ready").exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        _run("npm", "init", "-y", cwd=folder)
        _run("npm", "install", "--no-audit", "--no-fund", requirement, cwd=folder)
        (folder / "ready").touch()

    return install


def _needs(program: str) -> Callable[[], None]:
    def install() -> None:
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is not installed (Debian package: {program}-light or {program})")

    return install


def _bin(name: str, program: str) -> str:
    return str((ENVIRONMENTS / name / "bin" / program).absolute())


def _litellm(folder: Path, port: int, upstream: str) -> Launch:
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: mock\n    litellm_params:\n      model: openai/mock\n"
        f"      api_base: {upstream}/v1\n      api_key: sk-none\n"
    )
    argv = [_bin("litellm", "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    return Launch([*argv, "--num_workers", "1"], {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"})


def _portkey(folder: Path, port: int, upstream: str) -> Launch:
    server = (ENVIRONMENTS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js").absolute()
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
    return Launch(
        ["node", str(server), "--headless", f"--port={port}"],
        {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers=headers,
    )


def _firstpass(folder: Path, port: int, upstream: str) -> Launch:
    env = {
        "FIRSTPASS_MODE": "observe",
        "FIRSTPASS_BIND": f"127.0.0.1:{port}",
        "FIRSTPASS_UPSTREAM_OPENAI": upstream,
        "FIRSTPASS_DB": str(folder / "firstpass.db"),
        "RUST_LOG": "error",
        "OPENAI_API_KEY": "sk-none",
    }
    return Launch([_bin("firstpass", "firstpass"), "up"], env)


def _smg(folder: Path, port: int, upstream: str) -> Launch:
    argv = [
        _bin("smg", "smg"),
        "launch",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--worker-urls",
        upstream,
    ]
    return Launch([*argv, "--policy", "round_robin"])


def nginx_config(folder: Path, port: int, body: str) -> Path:
    """An nginx configuration; `body` is the content of its server block."""
    path = folder / f"nginx-{port}.conf"
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log {folder}/nginx-{port}.log warn;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 100000000; client_body_buffer_size 64k;\n"
        f"  client_body_temp_path {folder}/b-{port}; proxy_temp_path {folder}/p-{port}; fastcgi_temp_path {folder}/f-{port};\n"
        f"  uwsgi_temp_path {folder}/u-{port}; scgi_temp_path {folder}/s-{port};\n"
        f"  {body}\n}}\n"
    )
    return path


def _nginx(folder: Path, port: int, upstream: str) -> Launch:
    host = upstream.removeprefix("http://")
    body = (
        f"upstream up {{ server {host}; keepalive 256; keepalive_requests 100000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_buffering off; } }'
    )
    return Launch(["nginx", "-p", str(folder), "-c", str(nginx_config(folder, port, body))])


PEERS: tuple[Peer, ...] = (
    Peer("nginx proxy", "none", _needs("nginx"), _nginx),
    Peer("smg 1.13.0 (Rust)", "routing", _venv("smg", "smg==1.13.0"), _smg),
    Peer(
        "firstpass 0.9.0 (Rust)",
        "routing, trace to SQLite",
        _venv("firstpass", "firstpass==0.9.0"),
        _firstpass,
    ),
    Peer(
        "Portkey 1.15.2 (Node)",
        "full product, no log",
        _npm("portkey", "@portkey-ai/gateway@1.15.2"),
        _portkey,
    ),
    Peer("LiteLLM proxy 1.91.1", "full product, no DB", _venv("litellm", "litellm[proxy]==1.91.1"), _litellm),
)


@contextmanager
def started(
    launch: Launch, folder: Path, port: int, log: str, timeout_s: float = 90
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a gateway until the block ends; ready when it answers any HTTP at all.

    Raises:
        RuntimeError: it ended or stayed silent; the last line it said is in the message.
    """
    path = folder / f"{log}.log"
    with path.open("wb") as out:
        process = subprocess.Popen(
            launch.argv,
            env={**os.environ, **launch.env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                said = path.read_text(errors="replace").strip().splitlines()
                raise RuntimeError(said[-1][:200] if said else f"exit code {process.returncode}, no output")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=1)
                break
            except urllib.error.HTTPError:
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # workers of its own, in the session that we started


def tree_cpu_s(pid: int) -> float:
    """Processor time of a process and all its living children, user and system, in seconds."""
    import psutil

    try:
        root = psutil.Process(pid)
        times = [p.cpu_times() for p in [root, *root.children(recursive=True)]]
    except psutil.NoSuchProcess:
        return float("nan")
    return float(sum(t.user + t.system for t in times))


def tree_pss_mib(pid: int) -> float:
    """Memory of a process and all its children in MiB, pages they share counted once between them."""
    import psutil

    try:
        root = psutil.Process(pid)
        return sum(float(p.memory_full_info().pss) for p in [root, *root.children(recursive=True)]) / 2**20
    except psutil.NoSuchProcess:
        return float("nan")


def tree_rss_mib(pid: int) -> float:
    """Resident memory of a process and all its children, in MiB."""
    import psutil

    try:
        root = psutil.Process(pid)
        return float(sum(p.memory_info().rss for p in [root, *root.children(recursive=True)])) / 2**20
    except psutil.NoSuchProcess:
        return float("nan")
