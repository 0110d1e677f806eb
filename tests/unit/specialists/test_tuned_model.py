"""Names and digests of the models behind specialists."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from deputize.specialists.catalogue import MANIFEST, Manifest
from deputize.specialists.tuned_model import adapter_name, base_digest


def test_an_adapters_name_is_a_module_name_and_differs_by_folder(tmp_path: Path) -> None:
    one, two = adapter_name(tmp_path / "a-1"), adapter_name(tmp_path / "b.2")
    assert one != two and one.isalnum() and one[0] == "a"


def test_the_digest_of_a_base_is_that_of_its_weights(tiny: tuple[Path, str], tmp_path: Path) -> None:
    models_dir, name = tiny
    (weights,) = (models_dir / name).glob("*.safetensors")
    assert base_digest(name, models_dir) == hashlib.sha256(weights.read_bytes()).hexdigest()
    (tmp_path / "catalogue.toml").write_text((models_dir / "catalogue.toml").read_text())
    (tmp_path / name).mkdir()
    sums = {"b": "2", "a": "1"}
    (tmp_path / name / MANIFEST).write_bytes(msgspec.json.encode(Manifest(name=name, origin="", sha256=sums)))
    assert base_digest(name, tmp_path) == hashlib.sha256(b"a:1\nb:2\n").hexdigest()
