"""Communities of texts by meaning."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from deputize.stages.cluster.text_communities import communities, embed, graph, neighbours

pytest.importorskip("graspologic_native")

KINDS = {
    "weather": (
        "will it rain in {} tomorrow",
        "weather forecast for {}",
        "is it sunny in {} and will it rain",
    ),
    "money": ("send money to {}", "transfer some money from my account to {}", "pay {} from my account"),
    "music": ("play a song by {}", "put on the song {}", "play music that sounds like {}"),
}


def texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    r = random.Random(seed)
    names = [r.choice(sorted(KINDS)) for _ in range(n)]
    return [
        r.choice(KINDS[name]).format(f"{r.choice('abcdefgh')}x{r.randint(0, 10**6)}") for name in names
    ], names


def test_communities_are_pure_and_the_same_every_time() -> None:
    x, y = texts(200)
    found = communities(graph(embed(x)), seed=3).tolist()
    assert found == communities(graph(embed(x)), seed=3).tolist()
    for community in set(found):
        inside = [name for name, c in zip(y, found, strict=True) if c == community]
        assert inside.count(max(set(inside), key=inside.count)) >= 0.9 * len(inside)


def test_vectors_have_length_one_and_texts_without_a_word_are_no_trouble() -> None:
    assert np.allclose(np.linalg.norm(embed(texts(50)[0]), axis=1), 1)
    assert embed(["?!", "...", "--"]).shape == (3, 1)


def test_neighbours_put_each_text_first() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    vectors[3] = vectors[7]
    near = neighbours(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 5)
    assert near.shape == (50, 6)
    assert near[:, 0].tolist() == list(range(50))
    assert 7 in near[3]


def test_a_text_is_its_own_first_neighbour_among_many_equal_ones() -> None:
    near = neighbours(np.ones((20, 1), np.float32), 3)
    assert near.shape == (20, 4) and near[:, 0].tolist() == list(range(20))


def test_a_node_without_links_is_a_community_of_its_own() -> None:
    weights = csr_matrix(([1.0, 1.0], ([1, 3], [3, 1])), shape=(5, 5))
    assert communities(weights).tolist() == [1, 0, 2, 0, 3]
    assert communities(csr_matrix((3, 3))).tolist() == [0, 1, 2]
