"""Everyday lines from the archives of packages."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from deputize.privacy.tagger.default.plain_text import read_plain_words


def pack(path: Path, name: str, text: str) -> None:
    with tarfile.open(path, "w:gz") as out:
        info = tarfile.TarInfo(name)
        data = text.encode()
        info.size = len(data)
        out.addfile(info, io.BytesIO(data))


def test_lines_are_clean_and_words_are_sorted_by_kind(tmp_path: Path) -> None:
    pytest.importorskip("faker")
    messages = ["Dosya {0} açılamadı", "<b>Kaydet</b> ve çık", "ok", "Bkz. https://example.com/x"]
    pack(tmp_path / "monaco-editor-1.tgz", "package/esm/vs/nls/lang/tr.js", f"x={json.dumps(messages)}")
    pack(
        tmp_path / "jieba-1.tar.gz", "jieba-1/jieba/dict.txt", "走路 500 v\n城市 900 n\n王小明 800 nr\n罕 3 n"
    )
    with zipfile.ZipFile(tmp_path / "indico-1.whl", "w") as out:
        out.writestr(
            "indico/translations/pl_PL/LC_MESSAGES/messages.po",
            'msgid "Save"\nmsgstr "Zapisz zmiany"\n\n#, fuzzy\nmsgid "No"\nmsgstr "Nie wiem"\n',
        )
    found = read_plain_words(tmp_path)
    assert found["tr"].lines == ["Dosya 12 açılamadı", "Kaydet ve çık"]
    assert found["pl"].lines == ["Zapisz zmiany"]
    assert set(found["zh"].words["v"]) == {"走路"} and set(found["zh"].words["w"]) == {"城市"}
    assert found["ja"].lines == [] and found["ja"].words["w"] and found["ar"].words["w"]
