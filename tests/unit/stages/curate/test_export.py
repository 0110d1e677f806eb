"""Exports are read by the libraries they are meant for, hold what was asked, and leave nothing half written."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, get_args

import pytest

from deputize.core.errors import BadInput, MissingExtra, StoreError
from deputize.core.records import Example, Message, Outcome, Request, Split
from deputize.privacy.call_texts import valid_unicode
from deputize.stages.curate.export import Format, export, row_id

KEY = b"k" * 32
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def example(n: int, split: Split = "train", **more: Any) -> Example:
    act = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t1", "function": {"name": "look", "arguments": {"n": n}}}],
    }
    messages: list[Message] = [
        {"role": "system", "content": "Say the number."},
        {"role": "user", "content": [{"type": "text", "text": f"number {n}"}]},
        act,
        {"role": "tool", "tool_call_id": "t1", "content": f"it is {n}"},
    ]
    return Example(
        call_id=f"mia-silva-{n}",
        request=Request(messages=messages, tools=[TOOL], agent="a"),
        response={"role": "assistant", "content": str(n)},
        audience="code",
        site="s",
        episode="e",
        group="g",
        split=split,
        weight=2.0,
        outcome=Outcome(success=True),
        **more,
    )


SIDES: tuple[Split, ...] = ("train", "train", "validation", "calibration", "test")
EXAMPLES = [example(n, SIDES[n % 5]) for n in range(25)]
COUNTS = {"train": 10, "validation": 5, "calibration": 5, "test": 5}


def write(out: Path, form: Any, examples: list[Example] | None = None) -> dict[str, int]:
    return export(
        examples or EXAMPLES,
        out,
        out.with_name(".out-in-work"),
        form,
        key=KEY,
        card=lambda: "# Dataset card\n",
        task_of={"mia-silva-0": "t0"},
    )


@pytest.mark.parametrize("form", get_args(Format))
def test_every_form_has_every_row_the_card_and_no_id_of_a_call(form: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write(out, form) == COUNTS
    assert "# Dataset card" in (out / "README.md").read_text("utf-8")
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    for file in out.rglob("*"):
        assert file.is_dir() or b"mia-silva" not in file.read_bytes()


def test_jsonl_rows_hold_the_conversation(tmp_path: Path) -> None:
    write(tmp_path / "out", "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text("utf-8").splitlines()]
    assert rows[0]["id"] == row_id(KEY, "mia-silva-0") != row_id(b"x", "mia-silva-0")
    assert (rows[0]["task"], rows[1]["task"], rows[0]["weight"], rows[0]["success"]) == ("t0", "", 2.0, True)
    assert [m["role"] for m in rows[0]["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert rows[0]["messages"][1]["content"] == "number 0"


def test_openai_lines_teach_the_last_answer_only(tmp_path: Path) -> None:
    write(tmp_path / "out", "openai")
    row = json.loads((tmp_path / "out" / "validation.jsonl").read_text("utf-8").splitlines()[0])
    assert set(row) == {"messages", "tools"} and row["tools"] == [TOOL]
    past, last = row["messages"][2], row["messages"][-1]
    assert past["weight"] == 0 and "weight" not in last
    assert past["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"n": 2}'}}
    ]
    assert all(v is not None or k == "content" for m in row["messages"] for k, v in m.items())


def test_parquet_is_read_by_pyarrow(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "out", "parquet")
    rows = parquet.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    assert len(rows) == 10
    assert rows[0]["messages"][2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"n": 0}'}
    assert json.loads(rows[0]["tools"]) == [TOOL]


def test_a_hugging_face_folder_is_read_by_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    write(tmp_path / "out", "hf")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {side: loaded[side].num_rows for side in loaded} == COUNTS
    assert loaded["train"][0]["messages"][-1]["content"] == "0"


ODD = [
    "",
    "a\nb\r\nc",
    'quotes " and \\ and \x00',
    "Größe 漢字 🙂 \u2028",
    '{"not": "parsed"}',
    "  spaces  ",
    "half \ud800 a pair",
]


def test_all_forms_hold_the_same_rows_and_nothing_is_lost_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    rich = [
        Example(
            call_id=f"c{n}",
            audience="code",
            site="s",
            episode=f"e{n}",
            group="g",
            split="train",
            weight=1.5 + n,
            model="m",
            request=Request(
                messages=[{"role": "user", "content": text}],
                tools=[TOOL],
                response_format={"type": "json_object", "x": text},
            ),
            response={
                "role": "assistant",
                "content": text[::-1],
                "tool_calls": [{"id": "t", "function": {"name": "look", "arguments": {"n": text}}}],
            },
            trainable=bool(n % 2),
            drop_reason="" if n % 2 else "refusal",
        )
        for n, text in enumerate(ODD)
    ]
    for form in ("jsonl", "parquet", "hf"):
        write(tmp_path / form, form, rich)
    rows = [
        json.loads(line)
        for line in (tmp_path / "jsonl" / "train.jsonl").read_text("utf-8").split("\n")
        if line
    ]
    assert parquet.read_table(tmp_path / "parquet" / "train.parquet").to_pylist() == rows
    assert [*datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))["train"]] == rows
    for e, row in zip(rich, rows, strict=True):
        said, answered = row["messages"]
        text = valid_unicode(e.request.messages[0]["content"])
        assert (said["role"], said["content"], answered["content"]) == (
            "user",
            text,
            valid_unicode(e.response["content"]),
        )
        (call,) = answered["tool_calls"]
        assert call["function"]["name"] == "look" and json.loads(call["function"]["arguments"]) == {"n": text}
        assert json.loads(row["response_format"]) == {"type": "json_object", "x": text}
        assert (row["weight"], row["model"], row["drop_reason"]) == (e.weight, "m", e.drop_reason)


def test_many_rows_go_out_in_batches(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    many = [example(n) for n in range(2500)]
    assert write(tmp_path / "out", "parquet", many) == {"train": 2500}
    read = parquet.ParquetFile(tmp_path / "out" / "train.parquet")
    assert read.num_row_groups == 3 and read.metadata.num_rows == 2500


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    for place in (tmp_path, tmp_path / "kept"):
        with pytest.raises(BadInput, match="new or empty"):
            write(place, "jsonl")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write(tmp_path / "file" / "out", "jsonl")


def test_an_export_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield example(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(broken(), tmp_path / "out", tmp_path / ".out", "jsonl", key=KEY, card=lambda: "", task_of={})
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_the_install_line_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"deputize\[export\]"):
        write(tmp_path / "out", "hf")
    assert list(tmp_path.iterdir()) == []
