"""The calls that tasks are found on: all of a small log; of a large one whole groups by digest, and some of every kind."""

from __future__ import annotations

import random
from collections import Counter

from deputize.core.records import Example, Request
from deputize.stages.cluster import discovery_sample
from deputize.stages.cluster.discovery_sample import DiscoverySample


def example(i: int, group: str, system: str = "You sort mails.") -> Example:
    return Example(
        call_id=f"c{i}",
        request=Request(
            messages=[{"role": "system", "content": system}, {"role": "user", "content": f"mail {i}"}]
        ),
        response={"role": "assistant", "content": "spam"},
        audience="code",
        site="s",
        episode=group,
        group=group,
    )


def sampled(log: list[Example], most: int, seed: int = 0) -> list[Example]:
    sample = DiscoverySample(seed, most)
    sample.add_all(log)
    return sample.examples()


def test_a_small_log_is_the_sample() -> None:
    log = [example(i, f"g{i // 3}") for i in range(90)]
    assert sampled(log, 90) == log


def test_a_large_log_gives_whole_groups_whatever_their_order() -> None:
    log = [example(i, f"g{i // 3}") for i in range(3000)]
    found = sampled(log, 600)
    turned = [log[3 * g + k] for g in random.Random(1).sample(range(1000), 1000) for k in range(3)]
    of_group = Counter(e.group for e in found)
    n_whole = sum(n == 3 for n in of_group.values())
    assert 190 <= n_whole <= 200 + discovery_sample.MOST_OF_KIND
    whole = {g for g, n in of_group.items() if n == 3}
    again = Counter(e.group for e in sampled(turned, 600))
    assert whole == {g for g, n in again.items() if n == 3}
    assert sampled(log, 600, seed=1) != found


def test_a_rare_kind_is_in_the_sample() -> None:
    log = [example(i, f"g{i}") for i in range(5000)]
    log[2500:2520] = [example(i, f"g{i}", "You write poems.") for i in range(2500, 2520)]
    found = sampled(log, 100)
    assert sum(e.request.messages[0]["content"] == "You write poems." for e in found) == 20
    assert len(found) <= 100 + 2 * discovery_sample.MOST_OF_KIND


def test_a_giant_group_does_not_fill_the_sample() -> None:
    n = 3 * discovery_sample.MOST_OF_GROUP
    log = [example(i, "giant") for i in range(n)] + [example(n + i, f"g{i}") for i in range(2000)]
    found = sampled(log, 2000)
    assert len(found) > 1000
    assert len({e.group for e in found}) > 200
