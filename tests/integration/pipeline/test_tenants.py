"""Two tenants that send the same prompts: each is answered by specialists trained on its own calls, and by nothing
else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_model

from deputize.cli.report import read_report
from deputize.core.config import Convert
from deputize.core.records import Call, Request
from deputize.home import Home
from deputize.pipeline.conversion import convert, convert_all
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes
from deputize.specialists.specialist_card import read_card

SYSTEM = (
    "You decide about returns.\nReply with one word: approve or reject.\nA late return is another matter."
)
THINGS = ["kettle", "lamp", "jacket", "router", "scooter", "blender", "tent", "camera", "speaker", "chair"]


def request(i: int, late: bool) -> Request:
    age = (
        ["bought years ago", "had it since the move"][i % 2]
        if late
        else ["came today", "new since Monday"][i % 2]
    )
    word = "".join("bdfgklmnprstvz"[(i * p) % 14] + "aeiou"[(i // p) % 5] for p in (3, 5, 11, 17, 23))
    text = f"Item: {THINGS[i % len(THINGS)]}\nLetter: {age}, and it rattles like a {word}."
    return Request(messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}])


def traffic(tenant: str, n_calls: int, *, strict: bool) -> list[Call]:
    """Calls of a shop that rejects late returns, or of one that approves only those."""
    return [
        Call(
            id=f"{tenant}-{i}",
            messages=request(i, late).messages,
            response={"role": "assistant", "content": "reject" if late is strict else "approve"},
            episode=f"{tenant}-{i}",
            origin=f"{tenant}-{i}",
            audience="code",
            model="gpt-4o-mini",
            tenant=tenant,
            timestamp=1.7e9 + 60 * i,
        )
        for i, late in ((i, (i // 2) % 2 == 0) for i in range(n_calls))
    ]


def test_specialists_answer_for_the_tenant_they_were_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    config = Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.05)
    with Home(tmp_path / "home") as home:
        home.store.append([*traffic("alpha", 400, strict=True), *traffic("beta", 400, strict=False)])
        reports = convert_all(home, config)
        assert [(r["tenant"], r["source"]["tenants"]) for r in reports] == [
            ("alpha", {"alpha": 400}),
            ("beta", {"beta": 400}),
        ]
        table = RouteTable.build(read_routes(home.routes_path))
        routes = {name: table.match(request(0, True), name).route for name in ("alpha", "beta", "gamma")}
        alpha, beta = routes["alpha"], routes["beta"]
        assert alpha is not None and beta is not None and routes["gamma"] is None, [
            t["refused"] for r in reports for t in r["tasks"]
        ]
        assert (alpha.tenant, beta.tenant) == ("alpha", "beta") and alpha.specialist != beta.specialist
        assert not set(alpha.keys) & set(beta.keys) and alpha.task_id != beta.task_id
        cards = [read_card(home.path / route.specialist) for route in (alpha, beta)]
        assert [card.task.tenant for card in cards] == ["alpha", "beta"]
        # a later run of one tenant touches nothing of the other
        home.store.append(traffic("alpha", 420, strict=True)[400:])
        convert(home, config, tenant="alpha")
        later = {r.id: r for r in read_routes(home.routes_path).routes}
        assert later[beta.id].specialist == beta.specialist and later[beta.id].state == beta.state
        assert later[alpha.id].specialist != alpha.specialist

        shared = convert(home, config.model_copy(update={"share_across_tenants": True}))
        assert shared["tenant"] == "*" and shared["source"]["tenants"] == {"alpha": 420, "beta": 400}
        assert "answer for every tenant" in shared["notes"][0]
    assert read_report(home.path, tenant="beta")[0]["run_id"] == reports[1]["run_id"]
