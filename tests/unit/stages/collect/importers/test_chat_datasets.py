"""Conversations in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.collect.importers.chat_datasets import ConversationsImporter, is_message

LINE = {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "a"}]}


def read(path: Path, text: str) -> list[Any]:
    path.write_text(text)
    return list(read_calls(path))


def test_a_file_that_is_one_list_of_messages_is_one_conversation(tmp_path: Path) -> None:
    messages = [*LINE["messages"], {"role": "user", "content": "2"}, {"role": "assistant", "content": "b"}]
    found = read(tmp_path / "a.json", json.dumps(messages))
    assert [len(c.messages) for c in found] == [1, 3] and found[0].episode == found[1].episode != ""


def test_files_do_not_share_what_was_seen(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(LINE))
    assert [type(c) for c in read_calls(tmp_path)] == [Call, Call]


def test_sharegpt_and_a_conversation_without_an_answer(tmp_path: Path) -> None:
    rows = [
        {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}], "system": "s"},
        {"messages": LINE["messages"][:1]},
    ]
    call, skip = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [m["content"] for m in call.messages] == ["s", "x"] and call.response["content"] == "y"
    assert isinstance(skip, Skip) and skip.reason.startswith("no response")
    assert is_message(LINE["messages"][0]) and not is_message({"role": "user"})
    assert not ConversationsImporter().sniff({**LINE, "response": "z"})
