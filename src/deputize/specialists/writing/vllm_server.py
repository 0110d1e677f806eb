"""vLLM as what writes answers: a server started here, or one that runs, with an adapter for each specialist.

A server started here ends with the worker, and is started again where it ends before; in between the LLM answers.

References:
    vLLM, "LoRA adapters" (dynamic serving: /v1/load_lora_adapter, VLLM_ALLOW_RUNTIME_LORA_UPDATING) and "Structured
    outputs".
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput, MissingExtra, UpstreamError
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import ADAPTER_FOLDER, WEIGHTS_FOLDER, base_folder
from deputize.specialists.writing.base import WrittenToken
from deputize.specialists.writing.completions_server import (
    ANSWER_WITHIN_S,
    AskedAnswer,
    CompletionsServer,
    JsonApi,
    NotServed,
)
from deputize.specialists.writing.guarded_process import end_guarded, start_guarded

log = logging.getLogger("deputize.engine")

KEY_VARIABLE = "DEPUTIZE_VLLM_KEY"
"""Of the server that is started here; a fresh key for each."""
MAX_RANK = 64
"""Of adapters; vLLM keeps room for it."""
_RETRY_S = (5.0, 10.0, 30.0, 60.0, 300.0)
"""Waits before a server that ended is started again; the last one repeats."""
_servers: dict[Path, VllmServer] = {}
_making = threading.Lock()


class VllmServer:
    """A vLLM server started here for one base model."""

    def __init__(self, base: Path, settings: EngineSettings) -> None:
        self._base, self._settings = base, settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._next_try_s, self.n_starts = 0.0, 0
        self.base_url = ""

    def ensure(self) -> str:
        """The address of the server, started where it does not run; waits until it answers.

        Raises:
            MissingExtra: the program is not installed.
            UpstreamError: it does not come up, or has ended a moment ago.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return self.base_url
            if time.monotonic() < self._next_try_s:
                raise UpstreamError("vLLM has ended and is not started again yet.")
            self._let_go()
            self._start()
            return self.base_url

    def stop(self) -> None:
        """Ends the server."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_guarded(process)

    def _start(self) -> None:
        program = self._settings.command[0]
        if shutil.which(program) is None:
            raise MissingExtra(
                f"{program} is not installed. Install vLLM in an environment of its own, and name its program under [engine] command."
            )
        wait_s = _RETRY_S[min(self.n_starts, len(_RETRY_S) - 1)]
        self._next_try_s, self.n_starts = time.monotonic() + wait_s, self.n_starts + 1
        port = _free_port()
        os.environ[KEY_VARIABLE] = secrets.token_hex(16)
        environ = {
            # a build for CPUs wants 92 % of all memory where nothing is said, and ends where less is free; GiB
            "VLLM_CPU_KVCACHE_SPACE": "2",
            **os.environ,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_API_KEY": os.environ[KEY_VARIABLE],
            "VLLM_NO_USAGE_STATS": "1",
        }
        command = [
            *self._settings.command,
            "serve",
            str(self._base),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        command += ["--enable-lora", "--max-lora-rank", str(MAX_RANK), *self._settings.options]
        log.info("starting vLLM on port %d", port)
        process = start_guarded(command, environ, Path(os.devnull))
        self.base_url = f"http://127.0.0.1:{port}/v1"
        api = JsonApi(self.base_url, KEY_VARIABLE, timeout_s=5.0)
        end = time.monotonic() + self._settings.start_s
        while not api.is_up():
            if process.poll() is not None:
                self._give_up(process, "ended before it answered", command)
            if time.monotonic() > end:
                self._give_up(
                    process, f"did not answer within {self._settings.start_s:g} s (start_s)", command
                )
            time.sleep(0.5)
        api.close()
        self._process = process

    def _give_up(self, process: subprocess.Popen[bytes], how: str, command: Sequence[str]) -> NoReturn:
        end_guarded(process)
        raise UpstreamError(f"vLLM {how}. To see why, run: {shlex.join(command)}")


class VllmWriter:
    """One specialist of a vLLM server."""

    def __init__(self, stored: StoredSpecialist, settings: EngineSettings, asked: AskedAnswer) -> None:
        """
        Args:
            stored: the specialist.
            settings: of the engine.
            asked: of the answers.

        Raises:
            BadInput: vLLM cannot apply its adapter, or its base has changed since training.
            MissingExtra, UpstreamError: vLLM is not installed, or does not come up.
        """
        base = base_folder(stored)
        adapter = stored.folder / ADAPTER_FOLDER
        self._adapter = None if (stored.folder / WEIGHTS_FOLDER).is_dir() else adapter.resolve()
        if self._adapter is not None and (why := _why_not(self._adapter)):
            raise BadInput(f"The engine vllm cannot answer for {stored.card.id}: {why}.")
        self._server = None if settings.base_url else server_of(base, settings)
        self._settings, self._asked, self._base = settings, asked, base
        self._name = f"{stored.card.id}-{secrets.token_hex(4)}" if self._adapter else str(base)
        self.at_once = settings.at_once
        self.label = f"vllm {_precision(settings)}"
        self._lock, self._loaded_at = threading.Lock(), ""
        with self._lock:
            self._client = self._connected()

    def write(self, prompt: Sequence[int]) -> list[WrittenToken]:
        """The tokens of an answer. Raises as `writing.base.Writer.write`."""
        client = self._client
        try:
            return client.write(prompt)
        except NotServed:
            # somebody started the server again, and it knows no adapter any more
            if self._adapter is None:
                raise
            adapter_is_lost = True
        except UpstreamError:
            if self._server is None:
                raise
            # the server may have ended: it is started again, with a pause
            adapter_is_lost = False
        return self._connected_again(client, adapter_is_lost=adapter_is_lost).write(prompt)

    def close(self) -> None:
        """Takes the adapter out of the server."""
        if self._adapter is not None and self._loaded_at:
            try:
                self._tell("/unload_lora_adapter", self._loaded_at, {"lora_name": self._name})
            except (UpstreamError, BadInput) as error:
                log.warning("vLLM keeps an adapter: %s", error)
        self._client.close()

    def _connected_again(self, before: CompletionsServer, *, adapter_is_lost: bool) -> CompletionsServer:
        """A new client; the one of another thread that has failed with the same one as well."""
        with self._lock:
            if self._client is before:
                self._loaded_at = "" if adapter_is_lost else self._loaded_at
                self._client = self._connected()
                before.close()
            return self._client

    def _connected(self) -> CompletionsServer:
        """A client of the server, the adapter loaded there; with the lock held."""
        url = self._server.ensure() if self._server is not None else self._settings.base_url
        if self._adapter is not None and self._loaded_at != url:
            given = {"lora_name": self._name, "lora_path": str(self._adapter)}
            self._tell("/load_lora_adapter", url, given)
            self._loaded_at = url
        # the first answer to a pattern waits until vLLM has built a machine of it: no call shall
        first = {"model": self._name, "prompt": [self._asked.words.newline], "max_tokens": 1}
        pattern = {"structured_outputs": {"regex": self._asked.pattern}}
        self._tell("/completions", url, first | pattern, within_s=self._settings.start_s)
        settings = self._settings.model_copy(update={"api_key_env": self._key_variable})
        return CompletionsServer(settings, self._asked, base_url=url, model=self._name, label=self.label)

    @property
    def _key_variable(self) -> str:
        return KEY_VARIABLE if self._server is not None else self._settings.api_key_env

    def _tell(
        self, path: str, url: str, body: Mapping[str, Any], *, within_s: float = ANSWER_WITHIN_S
    ) -> None:
        api = JsonApi(url, self._key_variable, timeout_s=within_s)
        try:
            api.post(path, body)
        finally:
            api.close()


def server_of(base: Path, settings: EngineSettings) -> VllmServer:
    """The server of a base model, not started; one for all its specialists in this process."""
    with _making:
        return _servers.setdefault(base.resolve(), VllmServer(base, settings))


def stop_servers() -> None:
    """Ends every server that was started here."""
    with _making:
        for server in _servers.values():
            server.stop()
        _servers.clear()


def _precision(settings: EngineSettings) -> str:
    """As the options say; vLLM's own choice otherwise."""
    options = list(settings.options)
    given = options[options.index("--dtype") + 1 :][:1] if "--dtype" in options else []
    return given[0] if given else settings.served_precision or "auto"


def _why_not(adapter: Path) -> str:
    try:
        config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return "its adapter cannot be read"
    if config.get("use_dora"):
        return "it scales the base's weights too (DoRA)"
    return f"its rank is above {MAX_RANK}" if int(config.get("r", 0)) > MAX_RANK else ""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
