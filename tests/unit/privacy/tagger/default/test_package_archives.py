"""Files in the archives of packages."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.unit.privacy.tagger.default.test_plain_text import pack

from deputize.privacy.tagger.default.package_archives import members


def test_files_that_match_are_read_from_both_kinds_of_archive(tmp_path: Path) -> None:
    pack(tmp_path / "jieba-2.tar.gz", "jieba-2/jieba/dict.txt", "城市 900 n")
    with zipfile.ZipFile(tmp_path / "kolibri-1.whl", "w") as archive:
        archive.writestr("kolibri/a.json", "{}")
        archive.writestr("kolibri/b.txt", "no")
    assert list(members(tmp_path, "jieba", r".*/(dict)\.txt")) == [("dict", "城市 900 n")]
    assert list(members(tmp_path, "kolibri", r"kolibri/(.*)\.json")) == [("a", "{}")]
    assert list(members(tmp_path, "indico", r"(.*)")) == []
