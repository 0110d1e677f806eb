"""The protocol of key providers: ours have all of it."""

from __future__ import annotations

import pytest

from deputize.store.keys.base import KeyProvider
from deputize.store.keys.kms import AwsKek, VaultKek
from deputize.store.keys.local_kek import EnvKek, FileKek


@pytest.mark.parametrize("kind", [FileKek, EnvKek, VaultKek, AwsKek])
def test_every_provider_has_every_method(kind: type) -> None:
    wanted = {name for name in vars(KeyProvider) if not name.startswith("_")} | {"kind"}
    assert wanted <= set(dir(kind))
