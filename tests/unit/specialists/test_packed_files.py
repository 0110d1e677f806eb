"""Files of specialists come back as they were."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests import tiny_specialist

from deputize.specialists.packed_files import pack, unpack


def test_a_packed_folder_is_unpacked_whole_in_place_of_another(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "home" / "specialists" / "one", "head")
    packed = pack(tmp_path / "home", [msgspec.structs.replace(stored.card, path="specialists/one")])
    assert set(packed) == {"specialists/one"} and len(packed["specialists/one"]) >= 3
    other = tmp_path / "other"
    other.mkdir()
    (other / "old").write_text("of an earlier training")
    unpack(other, packed["specialists/one"])
    found = {str(p.relative_to(other)): p.read_bytes() for p in other.rglob("*") if p.is_file()}
    assert found == packed["specialists/one"]
    assert not (tmp_path / "other.new").exists()
