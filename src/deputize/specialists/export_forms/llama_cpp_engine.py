"""A GGUF file answering in llama.cpp, in this process (the package xllamacpp)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra


class LlamaCppEngine:
    """One model in llama.cpp's server, without the server's port."""

    def __init__(self, path: Path, *, context: int, threads: int = 1) -> None:
        """
        Args:
            path: of the GGUF file.
            context: tokens of prompt and answer together.
            threads: of the processor; they spin while they wait.

        Raises:
            BadInput: llama.cpp cannot load the file.
            MissingExtra: xllamacpp is not installed.
        """
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra.package("xllamacpp", "llamacpp") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1
        params.warmup = False
        params.verbosity = 0
        # it opens a port of the loopback interface, which nobody else is to use
        params.api_keys = [secrets.token_hex(16)]
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        self.version = str(xllamacpp.__version__)
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise BadInput(f"llama.cpp cannot load {path}: {error}") from error

    def write(self, prompt: Sequence[int] | str, *, grammar: str, most: int, stop: str = "") -> str:
        """The likeliest text after a prompt.

        Args:
            prompt: token ids, or a text that llama.cpp cuts into tokens.
            grammar: GBNF that the text keeps; "": none.
            most: tokens.
            stop: text at which it ends, itself left out; "": none.
        """
        asked: dict[str, Any] = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n_predict": most,
            "temperature": 0.0,
            "cache_prompt": False,
        }
        if grammar:
            asked["grammar"] = grammar
        if stop:
            asked["stop"] = [stop]
        found = self._server.handle_completions(asked)
        reply = json.loads(found) if isinstance(found, str | bytes) else found
        if "content" in reply:
            return str(reply["content"])
        if reply.get("choices"):
            return str(reply["choices"][0]["text"])
        raise BadInput(f"llama.cpp gives no answer: {str(reply)[:200]}")
