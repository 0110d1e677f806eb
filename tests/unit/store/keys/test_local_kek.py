"""Key-encryption keys that this process holds: a file for its owner alone, or a variable."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.store.keys.local_kek import ENV_KEK, EnvKek, FileKek


def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = FileKek.create(tmp_path / "keys" / "kek.key", relative_to=tmp_path / "keys")
    assert made.path.stat().st_mode & 0o077 == 0 and made.spec()["path"] == "kek.key"
    assert FileKek.create(made.path).key_id == made.key_id, "a key that is there is not replaced"
    made.path.chmod(0o644)
    with pytest.raises(StoreError, match="can be read by others"):
        FileKek(made.path)
    made.path.unlink()
    with pytest.raises(StoreError, match="is not there"):
        FileKek(made.path)
    assert not made.path.exists()


def test_a_key_in_the_environment_is_written_nowhere() -> None:
    kek = base64.b64encode(os.urandom(32)).decode()
    provider = EnvKek({ENV_KEK: kek})
    assert kek not in str(provider.spec())
    with pytest.raises(Tampered):
        EnvKek({"OTHER": base64.b64encode(bytes(32)).decode()}, "OTHER").unwrap(
            provider.wrap(bytes(32), b""), b""
        )
    with pytest.raises(StoreError, match=ENV_KEK):
        EnvKek({})
    with pytest.raises(BadInput, match="32 bytes in base64"):
        EnvKek({ENV_KEK: "short"})
