"""A GGUF file answering in llama.cpp, in this process (the package xllamacpp)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.writing.base import WrittenToken
from deputize.specialists.writing.completions_server import first_choice, tokens_of

N_PROBS = 100
"""Likeliest tokens listed at each place; llama.cpp ranks the whole vocabulary anyway."""


class LlamaCppEngine:
    """One model in llama.cpp's server, without the server's port."""

    def __init__(self, path: Path, *, context: int, threads: int = 1, adapter: Path | None = None) -> None:
        """
        Args:
            path: of the GGUF file.
            context: tokens of prompt and answer together.
            threads: of the processor.
            adapter: a GGUF file with an adapter for it; None: none.

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
        self.key = secrets.token_hex(16)
        params.api_keys = [self.key]
        for processor in (params.cpuparams, params.cpuparams_batch):
            processor.n_threads = threads
            # threads that spin while they wait starve whatever else needs the cores
            processor.poll = 0
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
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
        reply = self._ask(asked)
        if "content" in reply:
            return str(reply["content"])
        if reply.get("choices"):
            return str(reply["choices"][0]["text"])
        raise BadInput(f"llama.cpp gives no answer: {str(reply)[:200]}")

    def write_tokens(self, prompt: Sequence[int], *, grammar: str, most: int) -> list[WrittenToken]:
        """The same with what the model thought of each token and of the likeliest others.

        Args:
            prompt: token ids.
            grammar: GBNF that the text keeps.
            most: tokens.

        Raises:
            BadInput: llama.cpp refuses the request.
        """
        reply = self._ask(
            {
                "prompt": list(prompt),
                "n_predict": most,
                "temperature": 0.0,
                "cache_prompt": False,
                "grammar": grammar,
                "n_probs": N_PROBS,
            }
        )
        return tokens_of(first_choice(reply).get("logprobs"))

    @property
    def address(self) -> str:
        """Where it listens on the loopback interface, for whoever has the key."""
        return str(self._server.listening_address)

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._server.handle_completions(asked)
        reply = json.loads(found) if isinstance(found, str | bytes) else found
        return reply if isinstance(reply, dict) else {}
