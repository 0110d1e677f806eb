"""From a request to its route, and to no route for whatever is not known exactly."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deputize.core.errors import BadInput
from deputize.core.records import (
    EVERY_TENANT,
    Contract,
    KeySpace,
    PromptLimits,
    Request,
    Route,
    RouteFile,
    TextLimits,
)
from deputize.core.signature import signature
from deputize.core.template_key import TemplateMatcher
from deputize.router.table import NO_MATCH, RouteTable
from deputize.routes_file import read_routes, write_routes

SYSTEM = "You sort letters.\nAnswer yes or no"


def request(user: str = "Case: 1", system: str = SYSTEM, **more: Any) -> Request:
    return Request(
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}], **more
    )


def route(keys: list[str], id: str = "r1") -> Route:
    return Route(
        id=id,
        task_id="t",
        task_name="t",
        keys=keys,
        contract=Contract(kind="label"),
        specialist="x",
        threshold=0.5,
        state="live",
    )


@pytest.fixture
def file() -> RouteFile:
    space = KeySpace(signature=signature(request()), lines=SYSTEM.splitlines())
    key = TemplateMatcher(space).key(request())
    limits = PromptLimits(system=TextLimits(n_unknown=[0] * (len(space.lines) + 1)))
    space = KeySpace(signature=space.signature, lines=space.lines, prompt_limits={key: limits})
    return RouteFile(run_id="run", keyspaces=[space], routes=[route([key])])


def test_what_varies_finds_the_route_and_what_changed_does_not(file: RouteFile) -> None:
    table = RouteTable.build(file)
    assert table.match(request("Case: 2\nanything at all")).route == file.routes[0]
    tools = [{"type": "function", "function": {"name": "f"}}]
    for changed in (
        request(system=SYSTEM + "\nIn French."),
        request(system="You sort letters."),
        request(tools=tools),
        request(response_format={"type": "json_object"}),
    ):
        assert table.match(changed)[:2] == (None, "prompt_changed")
    for other in (
        Request(messages=[]),
        request(system="You write poems."),
        request(system="You write poems.", tools=tools),
    ):
        assert table.match(other) == NO_MATCH


def test_a_prompt_beyond_its_limits_names_the_nearest_route(file: RouteFile) -> None:
    beyond = request(system=SYSTEM + "\nIn French.")
    assert RouteTable.build(file).match(beyond).nearest == file.routes[0]
    assert RouteTable.build(file).match(request(system="You sort letters.")).nearest is None
    kept = replace(file.routes[0], run_id="old")
    later = RouteFile(run_id="new", routes=[kept], kept_keyspaces={"old": file.keyspaces})
    assert RouteTable.build(later).match(beyond) == (None, "prompt_changed", None, kept)


def test_a_kept_route_is_found_by_the_lines_it_was_certified_with(file: RouteFile) -> None:
    """The key spaces of the later run take the same prompts for others, or for changed ones."""
    kept = replace(file.routes[0], run_id="before")
    wider = replace(file.keyspaces[0], lines=[*file.keyspaces[0].lines, "Case: 1"], prompt_limits={})
    key = TemplateMatcher(wider).key(request())
    later = RouteFile(
        run_id="later",
        keyspaces=[wider],
        kept_keyspaces={"before": file.keyspaces},
        routes=[replace(kept, keys=[key], id="new", run_id=""), kept],
    )
    table = RouteTable.build(later)
    assert table.match(request("Case: 1")).route == later.routes[0], "the later run comes first"
    assert table.match(request("Case: 2")).route == kept
    assert table.match(request("Case: 2", system=SYSTEM + "\nIn French."))[:2] == (None, "prompt_changed")
    same_key = replace(later, keyspaces=file.keyspaces, routes=[kept], kept_keyspaces={})
    assert RouteTable.build(same_key).match(request("Case: 2")).route is None, "not by another run's lines"


def test_a_tenant_is_served_by_its_own_and_by_shared_routes_only(file: RouteFile) -> None:
    """Two tenants send the same prompts; the route file holds the key spaces of both."""
    of_alpha, of_beta = (
        route([TemplateMatcher(space).key(request())], tenant)
        for tenant in ("alpha", "beta")
        for space in (replace(file.keyspaces[0], tenant=tenant, prompt_limits={}),)
    )
    both = RouteFile(
        run_id="alpha",
        keyspaces=[replace(file.keyspaces[0], tenant="alpha", prompt_limits={})],
        kept_keyspaces={"run of beta": [replace(file.keyspaces[0], tenant="beta", prompt_limits={})]},
        routes=[replace(of_alpha, tenant="alpha"), replace(of_beta, tenant="beta", run_id="run of beta")],
    )
    table = RouteTable.build(both)
    found = {name: table.match(request(), name).route for name in ("alpha", "beta", "gamma", "default")}
    assert found == {"alpha": both.routes[0], "beta": both.routes[1], "gamma": None, "default": None}
    assert table.match(request()) == NO_MATCH, "nor is it said that others send such prompts"

    shared = replace(file, routes=[replace(file.routes[0], tenant=EVERY_TENANT)])
    assert all(RouteTable.build(shared).match(request(), name).route for name in ("alpha", "default"))


def test_no_file_is_no_route(tmp_path: Path) -> None:
    table = RouteTable.build(read_routes(tmp_path / "routes.json"))
    assert table.match(request()).route is None
    assert (table.generation, table.routes) == (0, [])


def test_a_written_file_is_loaded(tmp_path: Path, file: RouteFile) -> None:
    write_routes(tmp_path / "routes.json", file)
    table = RouteTable.build(read_routes(tmp_path / "routes.json"))
    assert table.generation == 1
    assert table.match(request()).route == file.routes[0]


@pytest.mark.parametrize("what", ["template key", "route id", "signature"])
def test_a_file_that_contradicts_itself_is_refused(what: str, file: RouteFile) -> None:
    twice = {
        "template key": RouteFile(run_id="r", routes=[route(["k"]), route(["k"], "r2")]),
        "route id": RouteFile(run_id="r", routes=[route(["k"]), route(["l"])]),
        "signature": RouteFile(run_id="r", keyspaces=[*file.keyspaces, *file.keyspaces]),
    }[what]
    with pytest.raises(BadInput, match=what):
        RouteTable.build(twice)


def test_matching_is_fast_compared_with_a_call(file: RouteFile) -> None:
    table = RouteTable.build(file)
    requests = [request(f"Case: {i}\n" + "a line of a letter, and some more\n" * 50) for i in range(100)]

    def once() -> float:
        began = time.thread_time()
        for r in requests:
            table.match(r)
        return (time.thread_time() - began) / len(requests)

    # some 40 us for 2 KB on a quiet machine; room for a busy one
    assert min(once() for _ in range(5)) < 1e-3
