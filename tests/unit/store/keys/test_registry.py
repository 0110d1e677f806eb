"""Key providers by name: a user's own, and those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.a_users_key_provider import Paper, paper

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import Call
from deputize.home import Home
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.registry import BUILT_IN, SERVICES, default_provider, provider_from, provider_named

misnamed = paper
"""A function that makes providers of another kind than its own name says."""


def test_a_provider_is_found_again_by_its_spec(tmp_path: Path) -> None:
    made = default_provider(tmp_path, {})
    assert made.spec() == {"kind": "file", "path": "kek.key"}
    assert provider_from(made.spec(), tmp_path, {}).key_id == made.key_id
    assert set(SERVICES) < set(BUILT_IN)


def test_a_spec_that_lacks_something_or_is_of_no_kind_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'file' lack 'path'"):
        provider_from({"kind": "file"}, tmp_path, {})
    with pytest.raises(BadInput, match="there are aws-kms, env, file, vault"):
        provider_from({"kind": "safe"}, tmp_path, {})
    with pytest.raises(StoreError, match="OTHER"):
        provider_named("env:OTHER", tmp_path, {})


def test_a_users_provider_holds_the_keys_of_a_home(tmp_path: Path) -> None:
    environ = {"DEPUTIZE_KEK_PROVIDER": Paper.kind, "PAPER": "p" * 32}
    store = Home(tmp_path, keyring=KeyRing.open(tmp_path, environ=environ)).open_store()
    store.append([Call(id="a", messages=[], response={}, origin="o_1")])
    store.close()
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["ring.json"]
    again = Home(tmp_path, keyring=KeyRing.open(tmp_path, environ=environ)).open_store()
    assert [c.id for c in again.calls()] == ["a"]
    again.close()
    with pytest.raises(BadInput, match="set DEPUTIZE_KEK_PROVIDER="):
        KeyRing.open(tmp_path, environ={"PAPER": "p" * 32})  # a ring file alone does not say what code is run


def test_a_provider_that_calls_its_kind_something_else_is_refused(tmp_path: Path) -> None:
    """The ring file would name a provider that opens nothing: every key would be lost at the next start."""
    kind = "tests.unit.store.keys.test_registry:misnamed"
    environ = {"DEPUTIZE_KEK_PROVIDER": kind, "PAPER": "p" * 32}
    with pytest.raises(BadInput, match=f"{kind} says that its kind is {Paper.kind!r}"):
        provider_named(kind, tmp_path, environ)
    with pytest.raises(BadInput, match="says that its kind"):
        KeyRing.open(tmp_path, environ=environ)
    assert not (tmp_path / "keys" / "ring.json").exists()


def test_a_users_provider_that_is_none_is_said(tmp_path: Path) -> None:
    for kind in ("tests.a_users_key_provider:nothing", "no.such.module:x", "paper"):
        with pytest.raises(BadInput):
            KeyRing.open(tmp_path, environ={"DEPUTIZE_KEK_PROVIDER": kind})
