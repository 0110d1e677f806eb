"""Hooks of the documentation site: pages that lie outside docs/ become pages of it, and links keep leading there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent
OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "examples/README.md": "examples.md",
}
"""File of the repository -> page of the site."""

_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:)([^)\s#]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^ *```.*?^ *```[^\n]*$)", re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    uri = page.file.src_uri
    if uri == "index.md":
        page.meta["hide"] = ["navigation"]  # it would name this page alone, beside wide blocks
    source = next((s for s, p in OUTSIDE.items() if p == uri), f"docs/{uri}")
    parts = _FENCE.split(markdown)
    parts[::2] = [_spaced(_LINK.sub(lambda m: _link(m, source, uri), text)) for text in parts[::2]]
    return "".join(parts)


def _link(found: re.Match[str], source: str, uri: str) -> str:
    """A link that leads to the page of the site; the words alone where the file is none (a script, a folder)."""
    text, target, anchor = found[1], found[2], found[3] or ""
    if not target:
        return found[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path in OUTSIDE:
        page = OUTSIDE[path]
    elif path.startswith("docs/"):
        page = path.removeprefix("docs/")
    else:
        return text if text.startswith("`") else f"{text} (`{path}`)" if path not in text else f"`{path}`"
    return f"[{text}]({posixpath.relpath(page, posixpath.dirname(uri) or '.')}{anchor})"


def _spaced(text: str) -> str:
    """A blank line before each list that follows a paragraph: this Markdown wants one, that of code hosts does not."""
    lines: list[str] = []
    for line in text.split("\n"):
        starts = re.match(r"(- |\d+\. )", line)
        before = lines[-1] if lines else ""
        if starts and before.strip() and not re.match(r"(- |\d+\. |  |\||#)", before):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)
