"""Documents in prompts: the same file as each protocol sends it, with its bytes in the request.

References:
    OpenAI API reference, "Chat Completions" (file content part) and "Responses" (input_file); Anthropic API reference,
    "PDF support".
"""

from __future__ import annotations

from typing import Any

from deputize.wire.json_fields import mapping, text_field

_NAMES = {"application/pdf": "document.pdf", "text/plain": "document.txt"}


def part_of_block(block: dict[str, Any]) -> dict[str, Any]:
    """A document of Anthropic's messages as a part of a chat message; one that only the provider or the web has stays
    as it is."""
    source = mapping(block.get("source")) or {}
    kind = source.get("type")
    if kind == "text" and isinstance(source.get("data"), str):
        return {"type": "text", "text": source["data"]}
    if kind != "base64" or not isinstance(source.get("data"), str):
        return block
    media = text_field(source, "media_type") or "application/pdf"
    name = text_field(block, "title") or _NAMES.get(media, "document")
    return {"type": "file", "file": {"filename": name, "file_data": f"data:{media};base64,{source['data']}"}}


def block_of_part(part: dict[str, Any]) -> dict[str, Any]:
    """A file in a chat message as a document of Anthropic's messages; one that only the provider has stays as it is."""
    file = mapping(part.get("file")) or {}
    media, found, data = text_field(file, "file_data").removeprefix("data:").partition(";base64,")
    if not found:
        return part
    source = {"type": "base64", "media_type": media, "data": data}
    block = {"type": "document", "source": source}
    return {**block, "title": file["filename"]} if file.get("filename") else block


def part_of_item(part: dict[str, Any]) -> dict[str, Any]:
    """A file among the items of a Responses request as a part of a chat message; one without its bytes stays as it
    is."""
    if not isinstance(part.get("file_data"), str):
        return part
    return {"type": "file", "file": {k: part[k] for k in ("filename", "file_data") if part.get(k)}}


def item_of_part(part: dict[str, Any]) -> dict[str, Any]:
    """A file in a chat message as an item of a Responses request."""
    return {"type": "input_file", **(mapping(part.get("file")) or {})}


def is_whole_file(part: dict[str, Any]) -> bool:
    """Check whether a file in a chat message comes with its bytes."""
    file = mapping(part.get("file")) or {}
    return text_field(file, "file_data").startswith("data:")
