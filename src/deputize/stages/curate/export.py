"""Exports curated examples for other programs: JSONL, OpenAI's fine-tuning format, Parquet, a Hugging Face folder.

The files are in clear text. The caller checks permissions and writes the audit log.

References:
    The format of the folder is what `datasets.load_dataset(folder)` reads: Parquet files per split, named in the head
    of README.md (huggingface.co/docs/datasets/repository_structure).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from deputize.core.contracts import text_of
from deputize.core.errors import BadInput, MissingExtra, StoreError
from deputize.core.records import Example, Message
from deputize.privacy.call_texts import valid_unicode
from deputize.stages.curate.dataset_card import masked_name

Format = Literal["jsonl", "openai", "parquet", "hf"]
BATCH_ROWS = 1000

Rows = Iterable[tuple[str, dict[str, Any]]]
"""(split, row)."""


def export(
    examples: Iterable[Example],
    out: Path,
    temporary: Path,
    file_format: Format,
    *,
    key: bytes,
    card: Callable[[], str],
    task_of: Mapping[str, str],
) -> dict[str, int]:
    """Writes examples and their card into a new folder, one file a split.

    Args:
        examples: what to write.
        out: a folder that does not exist yet or is empty; it is created when it is complete.
        temporary: its name until then, next to it.
        file_format: of the files.
        key: secret bytes, from which row ids are derived: ids of calls come from the log and may contain a name.
        card: makes the dataset card after all examples were taken; written as README.md.
        task_of: call id -> task id, where tasks were found.

    Returns:
        split -> rows.

    Raises:
        BadInput: the folder is not empty.
        MissingExtra: pyarrow is not installed.
        StoreError: the folder cannot be written; no partial folder is left.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already; an export needs a new or empty folder.")
    make_row = _openai_row if file_format == "openai" else _row
    pairs = ((e.split, _encodable(make_row(e, key, task_of.get(e.call_id, "")))) for e in examples)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(mode=0o700)
        if file_format in ("jsonl", "openai"):
            counts = _write_jsonl(pairs, temporary)
        else:
            data = temporary / "data" if file_format == "hf" else temporary
            data.mkdir(exist_ok=True)
            counts = _write_parquet(pairs, data)
        head = _front_matter(counts) if file_format == "hf" else ""
        (temporary / "README.md").write_text(head + card(), "utf-8")
        if out.exists():
            out.rmdir()
        temporary.replace(out)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return counts


def _encodable(value: Any) -> Any:
    """A row with "?" for each half of a surrogate pair: no file format holds such halves."""
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    return {k: _encodable(v) for k, v in value.items()} if isinstance(value, dict) else value


def row_id(key: bytes, call_id: str) -> str:
    """The id of an exported row; the same for the same call of the same home."""
    return hmac.new(key, call_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]


def _row(e: Example, key: bytes, task: str) -> dict[str, Any]:
    success = e.outcome.success if e.outcome else None
    return {
        "id": row_id(key, e.call_id),
        "task": task,
        "split": e.split,
        "weight": e.weight,
        "site": masked_name(e.site),
        "episode": e.episode,
        "model": masked_name(e.model),
        "success": success,
        "drop_reason": e.drop_reason,
        "synthetic": bool(e.made_from),
        "messages": [_message(m) for m in [*e.request.messages, e.response]],
        "tools": _text(e.request.tools),
        "response_format": _text(e.request.response_format),
    }


def _openai_row(e: Example, key: bytes, task: str) -> dict[str, Any]:
    """A line of OpenAI's fine-tuning files: only the last answer is trained on, earlier ones are context."""
    messages = [_without_empty_keys(m) for m in e.request.messages]
    for message in messages:
        if message["role"] == "assistant":
            message["weight"] = 0
    row: dict[str, Any] = {"messages": [*messages, _without_empty_keys(e.response)]}
    if e.request.tools:
        row["tools"] = e.request.tools
    return row


def _message(message: Message) -> dict[str, Any]:
    """A message with the same keys as every other, for tables; parts of content joined, arguments as JSON text."""
    content = message.get("content")
    text = content if isinstance(content, str | None) else text_of(message)
    return {
        "role": str(message.get("role", "")),
        "content": text,
        "tool_calls": _tool_calls(message),
        "tool_call_id": message.get("tool_call_id"),
        "name": message.get("name"),
    }


def _without_empty_keys(message: Message) -> dict[str, Any]:
    """A message without its empty keys, but for the content."""
    full = _message(message)
    return {k: v for k, v in full.items() if (v is not None and v != []) or k == "content"}


def _tool_calls(message: Message) -> list[dict[str, Any]]:
    out = []
    for n, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            made = {
                "name": str(function.get("name", "")),
                "arguments": _text(function.get("arguments")) or "{}",
            }
            out.append({"id": str(call.get("id") or f"call_{n}"), "type": "function", "function": made})
    return out


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _write_jsonl(rows: Rows, folder: Path) -> dict[str, int]:
    counts: Counter[str] = Counter()
    files: dict[str, IO[bytes]] = {}
    with ExitStack() as stack:
        for split, row in rows:
            if split not in files:
                files[split] = stack.enter_context((folder / f"{split}.jsonl").open("wb"))
            files[split].write(msgspec.json.encode(row) + b"\n")
            counts[split] += 1
    return dict(counts)


def _write_parquet(rows: Rows, folder: Path) -> dict[str, int]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra.package("pyarrow", "export") from None
    schema = _schema(pyarrow)
    counts: Counter[str] = Counter()
    writers: dict[str, Any] = {}
    with ExitStack() as stack:
        for split, batch in _batches(rows):
            if split not in writers:
                writers[split] = stack.enter_context(
                    parquet.ParquetWriter(folder / f"{split}.parquet", schema)
                )
            writers[split].write_table(pyarrow.Table.from_pylist(batch, schema=schema))
            counts[split] += len(batch)
    return dict(counts)


def _batches(rows: Rows) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    waiting: dict[str, list[dict[str, Any]]] = {}
    for split, row in rows:
        batch = waiting.setdefault(split, [])
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield split, waiting.pop(split)
    yield from waiting.items()


def _schema(pa: Any) -> Any:
    text = pa.string()
    function = pa.struct([("name", text), ("arguments", text)])
    tool_call = pa.struct([("id", text), ("type", text), ("function", function)])
    message = pa.struct(
        [
            ("role", text),
            ("content", text),
            ("tool_calls", pa.list_(tool_call)),
            ("tool_call_id", text),
            ("name", text),
        ]
    )
    return pa.schema(
        [
            ("id", text),
            ("task", text),
            ("split", text),
            ("weight", pa.float64()),
            ("site", text),
            ("episode", text),
            ("model", text),
            ("success", pa.bool_()),
            ("drop_reason", text),
            ("synthetic", pa.bool_()),
            ("messages", pa.list_(message)),
            ("tools", text),
            ("response_format", text),
        ]
    )


def _front_matter(counts: Mapping[str, int]) -> str:
    files = "".join(f"      - split: {split}\n        path: data/{split}.parquet\n" for split in counts)
    return f"---\nconfigs:\n  - config_name: default\n    data_files:\n{files}---\n\n"
