"""The server of the Model Context Protocol, asked by the client of its SDK in this process."""

from __future__ import annotations

import pytest
from mcp import Client
from tests.unit.gateway.stubs import live_route
from tests.unit.operations.test_specialist_tools import RAIN, Saying

from deputize.operations.mcp_server import mcp_server
from deputize.operations.specialist_tools import SpecialistTool, ToolSlot

TOOL = SpecialistTool(
    name="weather", description="Rain or sun.", slots=[ToolSlot(name="text")], route=live_route()
)


async def test_a_client_lists_and_calls_the_tools() -> None:
    async with Client(mcp_server(lambda: [TOOL], Saying(RAIN), 1.0)) as client:
        (listed,) = (await client.list_tools()).tools
        assert (listed.name, listed.description) == ("weather", "Rain or sun.")
        assert listed.input_schema == TOOL.input_schema and listed.output_schema == TOOL.output_schema
        found = await client.call_tool("weather", {"text": "wet?"})
        assert not found.is_error
        assert found.structured_content == {
            "answered": True,
            "answer": "rain",
            "confidence": 0.9,
            "certificate": "c",
        }


@pytest.mark.parametrize(("name", "arguments"), [("weather", {}), ("none", {"text": "wet?"})])
async def test_a_wrong_call_is_an_error_of_the_tool(name: str, arguments: dict[str, str]) -> None:
    async with Client(mcp_server(lambda: [TOOL], Saying(RAIN), 1.0)) as client:
        found = await client.call_tool(name, arguments)
        assert found.is_error and found.structured_content is None
