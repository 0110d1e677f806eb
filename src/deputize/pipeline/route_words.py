"""The words that the route file holds of what varies in prompts, after an erasure: those that too few people have now
go.

A word that goes is a new word to the gateway, so a prompt with it is rather answered by the LLM: nothing is served that
was not before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from string import punctuation
from typing import Any

from msgspec import structs

from deputize.core.artifacts import Curated
from deputize.core.records import KeySpace, RouteFile
from deputize.home import Home
from deputize.pipeline.run import Run, read_state
from deputize.routes_file import update_routes

LEAST_SUBJECTS = 2
"""As in discovery (stages.cluster.fit_prompt_limits), also where the settings ask for fewer."""


def drop_unshared_words(home: Home, run_ids: Collection[str]) -> int:
    """Takes words out of the route file that fewer data subjects have than may share one; how many.

    Args:
        home: the home.
        run_ids: runs that examples were taken out of.

    Raises:
        BadInput, Tampered, StoreError: as routes_file.update_routes; the run cannot be read.
    """
    file = home.routes()
    gone: dict[str, set[str]] = {}
    for run_id in run_ids:
        words = {word for space in _spaces_of(file, run_id) for word in _words_of(space)}
        if words:
            gone[run_id] = words - _shared(Run(home, read_state(home, run_id)), words)
    n_words = sum(map(len, gone.values()))
    if n_words:
        update_routes(home.routes_path, partial(_without, gone=gone), home.routes_seal)
    return n_words


def _spaces_of(file: RouteFile, run_id: str) -> list[KeySpace]:
    present = file.keyspaces if file.run_id == run_id else []
    return [*present, *file.kept_keyspaces.get(run_id, [])]


def _words_of(space: KeySpace) -> set[str]:
    return {word for limits in space.prompt_limits.values() for word in limits.vocabulary}


def _shared(run: Run, words: Collection[str]) -> set[str]:
    """Those of the words that enough data subjects of a run still have."""
    least = max(LEAST_SUBJECTS, int(run.state.settings.get("min_origins") or LEAST_SUBJECTS))
    wanted, holders, found = set(words), defaultdict[str, set[str]](set), set[str]()
    for example in run.artifact("curate", Curated).examples():
        for text in _strings(example.request.messages):
            for word in {one.strip(punctuation) for one in text.split()} & wanted:
                holders[word].add(example.subject)
                if len(holders[word]) >= least:
                    found.add(word)
                    wanted.discard(word)
                    del holders[word]
    return found


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one


def _without(file: RouteFile, gone: Mapping[str, set[str]]) -> RouteFile:
    return structs.replace(
        file,
        keyspaces=[_space_without(one, gone.get(file.run_id, set())) for one in file.keyspaces],
        kept_keyspaces={
            run_id: [_space_without(one, gone.get(run_id, set())) for one in spaces]
            for run_id, spaces in file.kept_keyspaces.items()
        },
    )


def _space_without(space: KeySpace, gone: set[str]) -> KeySpace:
    limits = {
        key: structs.replace(one, vocabulary=[word for word in one.vocabulary if word not in gone])
        for key, one in space.prompt_limits.items()
    }
    return structs.replace(space, prompt_limits=limits)
