"""Key providers by name: our own, those of other packages, and those of users.

A provider that a ring was made with is named in the ring file (nothing secret), so that opening needs no settings.

file, env, vault, aws-kms    ours
NAME                         an entry point of the group "deputize.key_providers"
module:attribute             from any module that can be imported, only where DEPUTIZE_KEK_PROVIDER names it too

The last two are functions that are called with (spec, keys folder, environment) and give a KeyProvider; a new one is
asked for with the spec {"kind": name}, and its own `spec` has that kind too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from deputize.core.errors import BadInput
from deputize.store.keys.base import KeyProvider
from deputize.store.keys.local_kek import ENV_KEK, EnvKek, FileKek

ENV_PROVIDER = "DEPUTIZE_KEK_PROVIDER"
GROUP = "deputize.key_providers"

Builder = Callable[[dict[str, Any], Path, Mapping[str, str]], KeyProvider]
"""(spec, keys folder, environment) -> provider."""

BUILT_IN: dict[str, str] = {
    "file": "deputize.store.keys.local_kek:file_from_spec",
    "env": "deputize.store.keys.local_kek:env_from_spec",
    "vault": "deputize.store.keys.kms:vault_from_spec",
    "aws-kms": "deputize.store.keys.kms:aws_from_spec",
}
"""Kind -> module:function; imported when it is asked for, for most homes need no key service."""

SERVICES: dict[str, str] = {
    "vault": "deputize.store.keys.kms:vault_from_environment",
    "aws-kms": "deputize.store.keys.kms:aws_from_environment",
}
"""Kind -> module:function that makes one for a new ring, with settings from the environment."""


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def provider_from(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> KeyProvider:
    """The provider that a ring file names.

    Raises:
        StoreError: its KEK is not available.
        BadInput: an unknown kind, or a KEK that is not 32 bytes.
    """
    kind = str(spec.get("kind", ""))
    try:
        return _builder(kind, environ)(spec, folder, environ)
    except KeyError as error:
        raise BadInput(f"The settings of the key provider {kind!r} lack {error}.") from None


def _builder(kind: str, environ: Mapping[str, str]) -> Builder:
    """The function that makes providers of a kind.

    module:attribute only where the environment names it too: a ring file alone must not say what code is run.
    """
    try:
        if kind in BUILT_IN:
            return cast(Builder, _imported(BUILT_IN[kind]))
        for point in entry_points(group=GROUP, name=kind):
            return cast(Builder, point.load())
        if ":" in kind and environ.get(ENV_PROVIDER) == kind:
            return cast(Builder, _imported(kind))
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The key provider {kind} cannot be loaded: {error}.") from error
    more = f" (set {ENV_PROVIDER}={kind} to have that code run)" if ":" in kind else ""
    raise BadInput(f"{kind!r} is not a key provider here{more}; there are {', '.join(sorted(BUILT_IN))}.")


def default_provider(folder: Path, environ: Mapping[str, str]) -> KeyProvider:
    """The provider of a new ring: the one that DEPUTIZE_KEK_PROVIDER names (see `provider_named`); without it the
    environment variable DEPUTIZE_KEK where that is set, else a new key file in `folder`.

    Raises:
        BadInput: an unknown provider, or one that lacks its settings.
    """
    name = environ.get(ENV_PROVIDER) or ("env" if environ.get(ENV_KEK) else "file")
    return provider_named(name, folder, environ)


def provider_named(
    name: str, folder: Path, environ: Mapping[str, str], *, file: str = "kek.key"
) -> KeyProvider:
    """A provider for a ring that is made or rotated now.

    Args:
        name: file, env or env:VARIABLE, vault, aws-kms (their settings come from the environment), or a plug-in.
        folder: the keys folder.
        environ: the environment.
        file: name of a new key file.

    Raises:
        BadInput: an unknown provider, or one that lacks its settings.
        StoreError: its KEK is not available.
    """
    if name == "file":
        return FileKek.create(folder / file, relative_to=folder)
    if name == "env" or name.startswith("env:"):
        return EnvKek(environ, name.partition(":")[2] or ENV_KEK)
    if name in SERVICES:
        return cast(KeyProvider, _imported(SERVICES[name])(environ))
    made = _builder(name, environ)({"kind": name}, folder, environ)
    if made.spec().get("kind") != name:
        raise BadInput(f"The key provider {name} says that its kind is {made.spec().get('kind')!r}.")
    return made
