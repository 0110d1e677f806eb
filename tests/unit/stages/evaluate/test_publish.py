"""The route file has a live route for each certified task and for no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deputize.stages.evaluate.publish import route_file

Make = Callable[..., Any]


def test_only_certified_tasks_get_a_route(world: Make) -> None:
    w = world()
    results = w.run()
    routes = route_file("r1", w.discovered, results, w.finetuned)
    (route,) = routes.routes
    assert (route.state, route.share, route.task_id, route.keys) == ("closed", 1.0, "t1", ["sig/1"])
    assert route.threshold == results[0].certificate.threshold
    assert route.specialist == "runs/r/specialists/t1-lora"
    assert routes.keyspaces == w.discovered.keyspaces and routes.run_id == "r1"
    refused = world(n_calls=1500, per_group=30)
    assert route_file("r1", refused.discovered, refused.run(), refused.finetuned).routes == []
