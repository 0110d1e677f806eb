"""Time of the gateway's decision about a request, without the specialist: template key, route, limits, plan, decision.

Over the requests of a simulated log, whose tasks the package finds itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.labelled_logs import designed
from deputize.core.answer_params import answer_params
from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.records import Call, Certificate, Example, Prediction, Route, RouteFile
from deputize.router.policy import decide, plan
from deputize.router.request_limits import facts_of, has_text, limits_of, outside
from deputize.router.table import RouteTable
from deputize.stages.cluster.run import run as find_tasks
from deputize.wire.chat_request import pinned_reason, request_of

PREDICTION = Prediction(answer="x", confidence=0.99)


def rows(n_rounds: int = 5) -> list[dict[str, Any]]:
    """Microseconds of a decision: the median and the 99th percentile over requests, the best of some rounds each."""
    calls, _ = designed(1300)
    found = _discovered(calls)
    limits = limits_of(facts_of(call) for call in calls)
    routes = [
        Route(
            id=task.id,
            task_id=task.id,
            task_name=task.name,
            keys=task.keys,
            contract=task.contract,
            specialist="s",
            threshold=0.5,
            state="live",
            certificate=Certificate(
                id="c",
                kind="not_worse_than_llm",
                epsilon=0.05,
                delta=0.05,
                n_calibration=100,
                threshold=0.5,
                share_served=0.9,
                p_value=0.01,
                claim="",
                limits=limits,
            ),
        )
        for task in found.tasks
    ]
    table = RouteTable.build(RouteFile(run_id="0001", routes=routes, keyspaces=found.keyspaces))
    best_N = np.full(len(calls), np.inf)
    n_routed = 0
    for _ in range(n_rounds):
        n_routed = 0
        for at, call in enumerate(calls):
            chat = {
                **call.params,
                "messages": call.messages,
                "tools": call.tools,
                "response_format": call.response_format,
            }
            began = time.perf_counter()
            request = request_of(chat, agent=call.agent, site=call.site)
            route = table.match(request).route
            planned = plan(route)
            if route is not None and route.certificate is not None and pinned_reason(chat) is None:
                outside(
                    route.certificate.limits,
                    answer_params(call.params),
                    model=call.model,
                    agent=call.agent,
                    site=call.site,
                    audience=call.audience,
                    with_text=has_text(call.messages),
                )
                n_routed += 1
            decide(planned, PREDICTION)
            best_N[at] = min(best_N[at], time.perf_counter() - began)
    characters = np.array([sum(len(str(m.get("content"))) for m in call.messages) for call in calls])
    return [
        {
            "requests": len(calls),
            "with a route": n_routed / len(calls),
            "characters at the median": float(np.median(characters)),
            "us at the median": float(1e6 * np.median(best_N)),
            "us at 99 %": float(1e6 * np.percentile(best_N, 99)),
        }
    ]


def _discovered(calls: Sequence[Call]) -> Discovered:
    examples = [
        Example(
            call_id=call.id,
            request=call.request(),
            response=call.response,
            audience="code",
            site=call.site,
            episode=call.id,
            group=call.id,
            split="train" if at % 5 else "validation",
        )
        for at, call in enumerate(calls)
    ]
    n = len(calls)
    return find_tasks(
        Curated(examples=examples, sites=[], n_calls=n, n_episodes=n, n_code_calls=n), Convert(min_origins=1)
    )
