"""privacy scan: texts and calls in, one line for each out, and no value of anybody in between."""

from __future__ import annotations

import gzip
import json

import pytest

from deputize.cli.main import run

TEXT = "I am Maria Lopez, write to maria.lopez@example.com"


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_texts(tmp_path, capsys):
    path = tmp_path / "texts.jsonl"
    path.write_text(
        json.dumps({"id": "a", "text": TEXT}) + "\n{broken\n" + '{"id": "b", "text": ""}\n{"id": "c"}\n'
    )
    assert run(["privacy", "scan", str(path)]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["id"] for r in rows] == ["a", "b"]
    found = {s["type"]: TEXT[s["start"] : s["end"]] for s in rows[0]["spans"]}
    assert found["EMAIL_ADDRESS"] == "maria.lopez@example.com"
    assert set(rows[0]["spans"][0]) == {"type", "start", "end", "score", "detector"}
    assert "texts.jsonl:2: not JSON" in err and "texts.jsonl:4: no text" in err
    assert "Maria" not in out + err


def test_calls_name_the_part_and_gzip_is_read(tmp_path, capsys):
    path = tmp_path / "calls.jsonl.gz"
    row = {"id": "c1", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}], "response": {"role": "assistant", "content": "fine"}}  # fmt: skip
    with gzip.open(path, "wt") as out:
        out.write(json.dumps(row) + "\n" + json.dumps({**row, "id": "c2"}) + "\n")
    assert run(["privacy", "scan", str(path)]) == 0
    rows = lines(capsys)
    assert [r["id"] for r in rows] == ["c1", "c2"]
    mail = next(s for s in rows[0]["spans"] if s["type"] == "EMAIL_ADDRESS")
    assert (mail["part"], TEXT[mail["start"] : mail["end"]]) == ("messages[1]", "maria.lopez@example.com")


def test_one_document(tmp_path, capsys):
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"id": "a", "text": TEXT}) + "\n[1]\n")
    assert run(["privacy", "scan", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [r["id"] for r in told["rows"]] == ["a"]
    assert told["skipped"] == [{"file": "texts.jsonl", "line": 2, "reason": "not a JSON object"}]


@pytest.mark.parametrize("content", [b"", b"{broken\n", b"\x1f\x8bnot gzip", b"\xff\xfe\x00"])
def test_a_file_with_nothing_in_it(tmp_path, capsys, content):
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    assert run(["privacy", "scan", str(path)]) == 3
    assert "odd.jsonl" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert run(["privacy", "scan", str(tmp_path / "nowhere.jsonl")]) == 3
    assert "does not exist" in capsys.readouterr().err
