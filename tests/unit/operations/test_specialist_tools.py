"""Certified specialists as tools: which routes are, what they take, and when they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec import structs
from tests import tiny_specialist, tiny_tasks
from tests.unit.gateway.stubs import live_route

from deputize.core.errors import BadInput, Tampered
from deputize.core.records import Contract, Field, Prediction, PromptRecipe, Request, Route, RouteFile
from deputize.home import Home
from deputize.operations.specialist_tools import (
    SpecialistTool,
    ToolsInForce,
    ToolSlot,
    agent_card,
    answer_schema,
    call,
    card_text,
    request_of,
    slots_of,
    tools_of,
)
from deputize.routes_file import write_routes
from deputize.specialists.serving.base import EngineFailure
from deputize.specialists.specialist_card import CARD, digest_of, read_card, write_card

TEMPLATE = "You are a help desk.\n⟨…⟩\n\nOrder: ⟨…⟩\nDate ⟨…⟩\nOrder: ⟨…⟩\nAnswer with one word."


class Saying:
    """An engine that gives one prediction, or raises one error."""

    def __init__(self, said: Prediction | Exception) -> None:
        self.said = said

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_arguments_are_the_slots_of_the_prompt_in_their_order() -> None:
    recipe = PromptRecipe(constant_lines=["You are a help desk.", "Date ⟨⟩"])
    task = structs.replace(tiny_tasks.task("label"), template=TEMPLATE, recipe=recipe)
    slots = slots_of(task)
    assert slots == [
        ToolSlot(name="text"),
        ToolSlot(name="order", head="Order:"),
        ToolSlot(name="order_2", head="Order:"),
    ]
    assert slots_of(tiny_tasks.task("label")) == [ToolSlot(name="text")], "no template: the varying text"
    tool = SpecialistTool(name="t", description="", slots=slots, route=live_route())
    given = {"text": "Where is it?", "order": "LH-1", "order_2": "LH-2"}
    assert request_of(tool, given).messages == [
        {"role": "user", "content": "Where is it?\nOrder: LH-1\nOrder: LH-2"}
    ]
    jsonschema.validate(given, tool.input_schema)
    for wrong in ({"text": "x"}, {**given, "more": "x"}, {**given, "order": 1}):
        with pytest.raises(BadInput, match="takes the texts text, order, order_2"):
            request_of(tool, wrong)


RAIN = Prediction(answer="rain", confidence=0.9, engine="local")


@pytest.mark.parametrize(
    ("said", "answered", "why"),
    [
        (RAIN, True, ""),
        (structs.replace(RAIN, confidence=0.4), False, "not sure enough"),
        (structs.replace(RAIN, answer=None, confidence=0.0), False, "not sure enough"),
        (structs.replace(RAIN, answer="<defer>"), False, "not sure enough"),
        (structs.replace(RAIN, confidence=0.0, out_of_distribution=True), False, "unlike"),
        (structs.replace(RAIN, engine="llamacpp f16"), False, "another engine"),
        (EngineFailure("broken"), False, "could not be asked"),
        (TimeoutError(), False, "could not be asked"),
    ],
)
async def test_it_answers_from_the_threshold_on_and_never_guesses(
    said: Prediction | Exception, answered: bool, why: str
) -> None:
    route = live_route()
    assert route.certificate is not None
    route = structs.replace(route, certificate=structs.replace(route.certificate, engine="local bf16 on cpu"))
    tool = SpecialistTool(name="t", description="", slots=[ToolSlot(name="text")], route=route)
    found = await call(tool, {"text": "wet?"}, Saying(said), 1.0)
    jsonschema.validate(found, tool.output_schema)
    assert found["answered"] is answered and why in found.get("why_not", "")
    assert ("answer" in found) is answered


def test_live_certified_routes_of_the_tenant_are_tools(tiny: tuple[Path, str], tmp_path: Path) -> None:
    tiny_specialist.make(tiny, tmp_path / "one", "linear")
    tiny_specialist.make(tiny, tmp_path / "two", "linear")
    card = read_card(tmp_path / "two")
    dialogue = structs.replace(card.task, recipe=PromptRecipe(mode="dialogue"))
    write_card(tmp_path / "two", structs.replace(card, task=dialogue))

    def one(id: str, **changed: Any) -> Route:
        return live_route(
            **{"id": id, "task_id": id, "task_name": "Sort: mails!", "specialist": "one", **changed}
        )

    old = live_route().certificate
    assert old is not None
    routes = [
        one("a"),
        one("b", tenant="*"),
        one("c", tenant="shop"),
        one("d", state="shadow"),
        one("e", certificate=structs.replace(old, created_s=1.0, renew_after_days=1.0)),
        one("f", specialist="two"),
        one("g", certificate=None),
    ]
    with Home(tmp_path) as home:
        write_routes(home.routes_path, RouteFile(run_id="1", routes=routes), home.routes_seal)
        found = tools_of(home, "default")
    assert [(tool.name, tool.route.id) for tool in found] == [("sort_mails", "a"), ("sort_mails_2", "b")]
    assert "agrees" in found[0].description
    card_ = agent_card(found, "http://127.0.0.1:1/mcp", "1.0")
    assert [skill["id"] for skill in card_["skills"]] == ["sort_mails", "sort_mails_2"]
    assert card_["preferredTransport"] == "MCP" and '"version": "1.0"' in card_text(found, "u", "1.0")


def test_a_route_that_is_closed_or_has_another_specialist_is_no_tool_any_more(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    tiny_specialist.make(tiny, tmp_path / "one", "linear")
    tiny_specialist.make(tiny, tmp_path / "two", "linear")
    pinned = digest_of(tmp_path / "two" / CARD)
    first = live_route(id="a", task_id="a", task_name="Sort", specialist="one")
    second = live_route(id="b", task_id="b", task_name="Sort", specialist="two", card_sha256=pinned)
    with Home(tmp_path) as home:
        write_routes(home.routes_path, RouteFile(run_id="1", routes=[first, second]), home.routes_seal)
        in_force = ToolsInForce(home, "default")
        assert [(tool.name, tool.route.id) for tool in in_force()] == [("sort", "a"), ("sort_2", "b")]
        closed = structs.replace(first, state="closed")
        write_routes(home.routes_path, RouteFile(run_id="1", routes=[closed, second]), home.routes_seal)
        assert [(tool.name, tool.route.id) for tool in in_force()] == [("sort_2", "b")], "it keeps its name"
        card = read_card(tmp_path / "two")
        write_card(tmp_path / "two", structs.replace(card, task_id="other"))
        assert digest_of(tmp_path / "two" / CARD) != pinned
        assert in_force() == []
        home.routes_path.write_bytes(b"{}")
        with pytest.raises((BadInput, Tampered)):
            in_force()
        with pytest.raises((BadInput, Tampered)):
            in_force()


def test_every_contract_has_a_schema_of_its_answers() -> None:
    fields = [
        Field(name="a", type="label", labels=[True, False]),
        Field(name="b", type="free", optional=True),
    ]
    cases: list[tuple[Contract, object, object]] = [
        (Contract(kind="label", labels=["x", "y"]), "x", "z"),
        (Contract(kind="json", fields=fields), {"a": True}, {"a": "yes"}),
        (Contract(kind="tool_call", tools=["f"]), [{"name": "f", "arguments": {}}], [{"name": "g"}]),
        (Contract(kind="text"), "any", 1),
    ]
    for contract, right, wrong in cases:
        jsonschema.validate(right, answer_schema(contract))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, answer_schema(contract))
