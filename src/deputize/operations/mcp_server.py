"""The Model Context Protocol over the specialists of a home: on standard input and output, or over HTTP on the loopback
interface.

References:
    Model Context Protocol, "Tools", "Transports"; its Python SDK, https://github.com/modelcontextprotocol/python-sdk.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from deputize import __version__
from deputize.core.errors import BadInput, MissingExtra, StoreError
from deputize.home import Home
from deputize.operations.specialist_tools import SpecialistTool, agent_card, call
from deputize.specialists.serving.base import Engine
from deputize.specialists.serving.registry import make_engine

if TYPE_CHECKING:
    from mcp.server import Server

CARD_PATH = "/.well-known/agent-card.json"
ENDPOINT = "/mcp"


def mcp_server(
    tools: Callable[[], Sequence[SpecialistTool]], engine: Engine, timeout_s: float
) -> Server[Any]:
    """A server that offers the tools.

    Args:
        tools: gives those in force; it is asked again for each request.
        engine: what answers for them; it runs.
        timeout_s: for each answer.

    Raises:
        MissingExtra: the SDK is not installed.
    """
    try:
        from mcp import types
        from mcp.server import Server
    except ImportError as error:
        raise MissingExtra.package("mcp", "mcp") from error

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    title=tool.route.task_name,
                    description=tool.description,
                    input_schema=tool.input_schema,
                    output_schema=tool.output_schema,
                )
                for tool in tools()
            ]
        )

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            tool = next((tool for tool in tools() if tool.name == params.name), None)
            if tool is None:
                raise BadInput(f"There is no tool {params.name!r}, or its route is not live any more.")
            found = await call(tool, params.arguments or {}, engine, timeout_s)
        except (BadInput, StoreError) as error:
            return types.CallToolResult(
                content=[types.TextContent(type="text", text=str(error))], is_error=True
            )
        text = types.TextContent(type="text", text=json.dumps(found, ensure_ascii=False))
        return types.CallToolResult(content=[text], structured_content=found)

    return Server(
        "deputize",
        version=__version__,
        instructions="Each tool is a small model certified for one task. Where `answered` is false, ask a large model.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


@asynccontextmanager
async def _running_engine(home: Home) -> AsyncIterator[Engine]:
    engine = make_engine(home.engine_settings(), home.path, home.models_path)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def serve_stdio(home: Home, tools: Callable[[], Sequence[SpecialistTool]], timeout_s: float) -> None:
    """Serves one client on standard input and output until it closes them.

    Raises:
        MissingExtra, UpstreamError: the SDK is not installed, or the engine does not come up.
    """
    async with _running_engine(home) as engine:
        server = mcp_server(tools, engine, timeout_s)
        from mcp.server.stdio import stdio_server

        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())


async def serve_http(
    home: Home, tools: Callable[[], Sequence[SpecialistTool]], timeout_s: float, port: int
) -> None:
    """Serves any number of clients over streamable HTTP on 127.0.0.1 until a signal ends it; the agent card too.

    Raises:
        MissingExtra, UpstreamError: as `serve_stdio`.
    """
    async with _running_engine(home) as engine:
        server = mcp_server(tools, engine, timeout_s)
        import uvicorn
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.requests import Request
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        async def show_card(request: Request) -> JSONResponse:
            return JSONResponse(agent_card(tools(), f"http://127.0.0.1:{port}{ENDPOINT}", __version__))

        app = server.streamable_http_app(
            streamable_http_path=ENDPOINT,
            host="127.0.0.1",
            stateless_http=True,
            custom_starlette_routes=[Route(CARD_PATH, show_card)],
        )
        # the SDK looks at the host of its own endpoint alone; a page that points its name here reads no card either
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
        await uvicorn.Server(config).serve()
