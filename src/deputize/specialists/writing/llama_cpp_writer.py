"""llama.cpp in the worker process, as what writes answers: the base as a GGUF file, kept for all specialists, and an
adapter for each.

A specialist that has no plain adapter (DoRA, a whole tuned model) is loaded as a file of its own. What is made of a
specialist's weights is deleted once llama.cpp has read it, so that an erasure misses no copy.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput
from deputize.files import locked
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import (
    ADAPTER_FOLDER,
    WEIGHTS_FOLDER,
    base_digest,
    base_folder,
    merged_model,
)
from deputize.specialists.writing.base import WrittenToken
from deputize.specialists.writing.completions_server import AskedAnswer
from deputize.specialists.writing.llama_adapter import why_no_adapter_file, write_adapter
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import why_no_gguf, write_gguf

log = logging.getLogger("deputize.engine")

GGUF_FOLDER = ".gguf"
"""Below the folder of models: bases as GGUF files."""
_TIMED_TOKENS, _TIMED_PROMPT = 24, 96
_threads: dict[tuple[Path, int], int] = {}
"""Measured in this process: file of a base and cores -> threads."""


class LlamaCppWriter:
    """One specialist in llama.cpp."""

    at_once = 1
    """A batch is slower than its requests one by one, and rounds differently."""

    def __init__(self, stored: StoredSpecialist, settings: EngineSettings, asked: AskedAnswer) -> None:
        """
        Args:
            stored: the specialist.
            settings: of the engine.
            asked: of the answers.

        Raises:
            BadInput: the model's architecture cannot be written as GGUF, or its base has changed since training.
            MissingExtra: xllamacpp or gguf is not installed.
        """
        if why := why_no_gguf(base_folder(stored)):
            raise BadInput(f"The engine llamacpp cannot answer for {stored.card.id}: {why}.")
        self.label = f"llamacpp {settings.precision}"
        self._asked, self._lock = asked, threading.Lock()
        scratch = Path(tempfile.mkdtemp(prefix="deputize-llamacpp-"))
        try:
            model, adapter = _files(stored, settings.precision, scratch)
            threads = settings.threads or best_threads(model)
            self._engine: LlamaCppEngine | None = LlamaCppEngine(
                model, context=asked.context, threads=threads, adapter=adapter
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def write(self, prompt: Sequence[int]) -> list[WrittenToken]:
        """The tokens of an answer. Raises as `writing.base.Writer.write`."""
        with self._lock:
            if self._engine is None:
                raise BadInput("This specialist has been let go.")
            return self._engine.write_tokens(prompt, grammar=self._asked.grammar, most=self._asked.most)

    def close(self) -> None:
        """Frees the model."""
        with self._lock:
            self._engine = None


def _files(stored: StoredSpecialist, precision: str, scratch: Path) -> tuple[Path, Path | None]:
    """(file of the model, file of the adapter; None: it is merged)."""
    adapter = stored.folder / ADAPTER_FOLDER
    if (stored.folder / WEIGHTS_FOLDER).is_dir() or why_no_adapter_file(adapter):
        whole = scratch / "model.gguf"
        write_gguf(merged_model(stored), whole, name=stored.card.id, precision=precision)
        return whole, None
    file = scratch / "adapter.gguf"
    write_adapter(adapter, base_folder(stored), file)
    return base_file(stored, precision), file


def base_file(stored: StoredSpecialist, precision: str) -> Path:
    """The base of a specialist as a GGUF file in the folder of models, made where it is not there.

    Raises:
        BadInput: it cannot be written. Also what loading the base raises.
    """
    digest = base_digest(stored.card.model, stored.models_dir)
    path = stored.models_dir / GGUF_FOLDER / f"{stored.card.model}-{digest[:16]}-{precision}.gguf"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(exist_ok=True)
        with locked(path):
            if not path.is_file():
                log.info("writing %s", path.name)
                base = LanguageModel(base_folder(stored), "cpu", "fp32")
                write_gguf(base, path, name=stored.card.model, precision=precision)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from error
    return path


def best_threads(model: Path) -> int:
    """The number of threads that a model is fastest with on this machine, measured once in each process."""
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))
    key = (model, cores or 1)
    if key not in _threads:
        counts = sorted({1, *(2**n for n in range(1, 7) if 2**n <= key[1]), key[1]})
        speeds = {n: _seconds(model, n) for n in counts} if len(counts) > 1 else {1: 0.0}
        _threads[key] = min(speeds, key=lambda n: speeds[n])
        log.info("llama.cpp uses %d of %d cores for %s", _threads[key], key[1], model.name)
    return _threads[key]


def _seconds(model: Path, threads: int) -> float:
    """Seconds of an answer, the second one asked for."""
    engine = LlamaCppEngine(model, context=_TIMED_PROMPT + _TIMED_TOKENS, threads=threads)
    prompt = [n % 50 + 10 for n in range(_TIMED_PROMPT)]
    engine.write(prompt, grammar="", most=_TIMED_TOKENS)
    began = time.perf_counter()
    engine.write(prompt, grammar="", most=_TIMED_TOKENS)
    return time.perf_counter() - began
