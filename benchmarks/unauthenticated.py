"""What a peer without a key can do to a gateway that asks for one: memory it grows by, and how long /healthz waits.

    python -m benchmarks.unauthenticated [connections]

Each attack keeps its connections for some seconds, sends as fast as it can, and reads nothing. The client runs on the
same
machine, so the waits hold its own processor time too: the first line is what /healthz takes with no attack.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deputize.gateway.child_process import start_gateway_process
from deputize.home import Home

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
SECONDS = 5.0

ATTACKS: dict[str, bytes] = {
    "nothing": b"",
    "31 MB of [], declared": CHAT + b"content-length: 32505856\r\n\r\n" + b'{"m":[' + b"[]," * 2_000_000,
    "30 MB bodies that do not end": CHAT + b"content-length: 31457280\r\n\r\n" + b"a" * 8_000_000,
    "chunked without end": CHAT
    + b"transfer-encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + b"a" * 65536 + b"\r\n") * 100,
    "heads that do not end": CHAT + b"x-a: " + b"y" * 60_000,
    "empty lines": b"\r\n" * 2_000_000,
    "many small headers": CHAT + b"a: b\r\n" * 100_000,
    "/healthz sent ahead": b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n" * 100_000,
    "refusals sent ahead": (CHAT + b"content-length: 2\r\n\r\n{}") * 50_000,
    "unknown paths sent ahead": b"GET /%s HTTP/1.1\r\nhost: h\r\n\r\n" % (b"x" * 200) * 20_000,
    "wrong keys sent ahead": (
        CHAT + b"x-api-key: dpk_000000000000_" + b"a" * 43 + b"\r\ncontent-length: 2\r\n\r\n{}"
    )
    * 30_000,
    "upgrades sent ahead": b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    * 30_000,
}


def attack(port: int, name: str, n_connections: int) -> None:
    """Runs in a process of its own until it is ended."""
    data = memoryview(ATTACKS[name])
    open_: list[tuple[socket.socket, int]] = []
    for _ in range(n_connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setblocking(False)
        open_.append((connection, 0))
    while True:
        sent_something = False
        for index, (connection, at) in enumerate(open_):
            if at < 0:
                continue
            try:
                n_sent = connection.send(data[at : at + 65536])
                at = at + n_sent if at + n_sent < len(data) else 0 if len(data) < 5_000_000 else -1
                open_[index] = (connection, at)
                sent_something = True
            except BlockingIOError:
                continue
            except OSError:  # closed: again, so that there are always as many
                connection.close()
                fresh = socket.create_connection(("127.0.0.1", port))
                fresh.setblocking(False)
                open_[index] = (fresh, 0)
        if not sent_something:
            time.sleep(0.005)


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += tree(int(child))
    return found


def memory_mb(pid: int) -> float:
    """Resident memory of a gateway with its workers."""
    pages = 0
    for one in tree(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def health_s(port: int) -> float:
    """How long /healthz takes, over a connection of its own."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:100]
    return time.perf_counter() - began


def measure(port: int, pid: int, name: str, n_connections: int) -> list[str]:
    """One row: the attack, memory it added, and waits of /healthz."""
    before = memory_mb(pid)
    command = [
        sys.executable,
        "-m",
        "benchmarks.unauthenticated",
        "--attack",
        str(port),
        name,
        str(n_connections),
    ]
    attacker = subprocess.Popen(command)
    try:
        time.sleep(1.0)
        waits, most = [], 0.0
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            waits.append(health_s(port))
            most = max(most, memory_mb(pid) - before)
            time.sleep(0.01)
    finally:
        attacker.kill()
        attacker.wait()
    waits.sort()
    time.sleep(1.0)
    return [
        name,
        f"{most:.1f}",
        f"{statistics.median(waits) * 1e3:.1f}",
        f"{waits[int(len(waits) * 0.99)] * 1e3:.1f}",
        f"{waits[-1] * 1e3:.1f}",
    ]


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--attack"]:
        attack(int(arguments[1]), arguments[2], int(arguments[3]))
        return
    n_connections = int(arguments[0]) if arguments else 200
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        Home(home).api_keys.create("ingest")
        gateway = start_gateway_process(home, "http://127.0.0.1:9")
        try:
            port = int(gateway.base_url.rpartition(":")[2])
            for _ in range(50):
                health_s(port)
            rows = [measure(port, gateway.pid, name, n_connections) for name in ATTACKS]
        finally:
            gateway.stop()
    print(f"{n_connections} connections; load {os.getloadavg()[0]:.1f}")
    heads = ("sent by a peer without a key", "MB more", "ms, median", "ms, 99 %", "ms, most")
    for row in (heads, *rows):
        print(f"{row[0]:32}" + "".join(f"{cell:>12}" for cell in row[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
