"""Stands in for the program vllm where vLLM is not installed: its command line and paths, and one made-up answer to
everything.

For tests of how a server is started, watched and given adapters; what vLLM answers is tested against vLLM.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOADED: set[str] = set()
"""Names of adapters."""
LOG = Path(os.environ.get("STAND_IN_LOG", os.devnull))


def note(what: str) -> None:
    with LOG.open("a") as out:
        out.write(f"{what}\n")


class Handler(BaseHTTPRequestHandler):
    """The paths of vLLM that the engine asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self._send({}, 401)
        elif self.path.endswith("_lora_adapter"):
            note(f"{self.path.rsplit('/', 1)[1]} {body['lora_name']}")
            is_new, is_loading = body["lora_name"] not in LOADED, self.path.endswith("/load_lora_adapter")
            (LOADED.add if is_loading else LOADED.discard)(body["lora_name"])
            self._send("Success", 200 if is_new is is_loading else 400)
        elif body["model"] not in LOADED and not Path(body["model"]).is_dir():
            self._send({"error": "the model does not exist"}, 404)
        else:
            pattern = body["structured_outputs"]["regex"]
            note(f"{'pattern' if body['max_tokens'] == 1 else 'completions'} {body['model']} {pattern!r}")
            ids = [int(one) for one in os.environ["STAND_IN_ANSWER"].split()]
            tokens = [f"token_id:{id}" for id in ids]
            logs = {"tokens": tokens, "token_logprobs": [-0.5] * len(ids), "top_logprobs": [{}] * len(ids)}
            self._send({"choices": [{"logprobs": logs, "finish_reason": "stop"}]})

    def _send(self, what: Any, status: int = 200) -> None:
        data = (what if isinstance(what, str) else json.dumps(what)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None: ...


if __name__ == "__main__":
    note(f"pid {os.getpid()} {' '.join(sys.argv[1:3])}")
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
