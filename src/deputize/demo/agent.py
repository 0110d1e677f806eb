"""The simulated help-desk agent: an ordinary program that talks to a model through the real `openai` client.

Half of its episodes are orchestrated by program code, half by the language model (the paper's Figure 1). It knows
nothing of deputize but the optional request headers, which it may leave out.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deputize.core.contracts import parse_json_object, text_of
from deputize.core.records import Message
from deputize.demo import prompts, world

if TYPE_CHECKING:
    from openai import AsyncOpenAI

AGENT = "helpdesk (simulated)"
_MAX_ACTIONS = 5


@dataclass(frozen=True)
class Seen:
    """One call as the agent saw it: what it sent, what came back, from whom, and how fast."""

    site: str
    episode: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None
    response: Message
    served_by: str
    """llm or slm, as the gateway says; "llm" where it says nothing."""
    route: str
    latency_ms: float
    usage: dict[str, int] = field(default_factory=dict)


class HelpDesk:
    """Works on tickets, one episode each; `seen` collects every call."""

    def __init__(self, client: AsyncOpenAI, *, model: str, feedback: bool = True) -> None:
        self.client, self.model, self.feedback = client, model, feedback
        self.seen: list[Seen] = []

    async def handle(self, ticket: world.Ticket) -> bool:
        """One episode, from the customer's letter to the reply; posts whether it ended well. Returns that."""
        episode = f"helpdesk-{ticket.number}"
        work = _by_code if ticket.mode == "code" else _by_model
        solved = await work(self, ticket, episode) and not ticket.fails
        if self.feedback:
            body = {"episode": episode, "metric": "success", "value": solved}
            await self.client.post("/deputize/feedback", body=body, cast_to=object)
        return solved

    async def ask(
        self,
        ticket: world.Ticket,
        site: str,
        episode: str,
        messages: list[Message],
        *,
        tools: list[dict[str, Any]] | None = None,
        stream: bool = False,
        audience: str = "",
    ) -> Message:
        """One call to the model; the assistant message."""
        headers = {
            "x-deputize-agent": AGENT,
            "x-deputize-site": site,
            "x-deputize-episode": episode,
            "x-deputize-origin": ticket.customer,
        }
        if audience:
            headers["x-deputize-audience"] = audience
        request: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "extra_headers": headers,
        }
        if tools:
            request["tools"] = tools
        if site == "triage":
            request["response_format"] = {"type": "json_object"}
        started = time.perf_counter()
        if stream:
            response, answer_headers, usage = await self._streamed(request)
        else:
            raw = await self.client.chat.completions.with_raw_response.create(**request)
            completion = raw.parse()
            response = completion.choices[0].message.model_dump(exclude_none=True)
            usage = completion.usage.model_dump(exclude_none=True) if completion.usage else {}
            answer_headers = raw.headers
        self.seen.append(
            Seen(
                site=site,
                episode=episode,
                messages=[*messages],
                tools=tools,
                response=response,
                served_by=answer_headers.get("x-deputize-served-by", "llm"),
                route=answer_headers.get("x-deputize-route", ""),
                latency_ms=(time.perf_counter() - started) * 1000,
                usage={name: n for name, n in usage.items() if isinstance(n, int)},
            )
        )
        return response

    async def _streamed(self, request: dict[str, Any]) -> tuple[Message, Any, dict[str, Any]]:
        parts: list[str] = []
        usage: dict[str, Any] = {}
        stream = await self.client.chat.completions.create(
            stream=True, stream_options={"include_usage": True}, **request
        )
        async for chunk in stream:
            if chunk.usage:
                usage = chunk.usage.model_dump(exclude_none=True)
            parts.extend(choice.delta.content or "" for choice in chunk.choices)
        return {"role": "assistant", "content": "".join(parts)}, stream.response.headers, usage


async def _triage(desk: HelpDesk, ticket: world.Ticket, episode: str) -> dict[str, Any]:
    user = f"Case: {ticket.number}\nChannel: e-mail\n\nCustomer wrote:\n{ticket.text}"
    reply = await desk.ask(ticket, "triage", episode, _pair(prompts.INTENT, user))
    return parse_json_object(text_of(reply)) or {}


async def _extract(desk: HelpDesk, ticket: world.Ticket, episode: str) -> dict[str, Any]:
    user = f"{prompts.EXTRACT_HEAD}\nLetter {ticket.number}\n\n{ticket.text}\n\n{prompts.EXTRACT_TAIL}"
    reply = await desk.ask(ticket, prompts.EXTRACT_SITE, episode, [{"role": "user", "content": user}])
    return parse_json_object(text_of(reply)) or {}


async def _policy_check(desk: HelpDesk, ticket: world.Ticket, episode: str) -> str:
    window, condition, standing = ticket.facts
    user = f"Case: {ticket.number}\nReturn window: {window}\nItem condition: {condition}\nCustomer standing: {standing}"
    reply = await desk.ask(ticket, "policy_check", episode, _pair(prompts.POLICY, user))
    return text_of(reply).strip()


async def _case_line(desk: HelpDesk, ticket: world.Ticket, episode: str, case: dict[str, str]) -> str:
    lines = [f"Case: {ticket.number}", *(f"{head}: {value}" for head, value in case.items())]
    # a free text that only code reads looks like one for a person, so the agent's author says whom it is for
    reply = await desk.ask(
        ticket, "case_line", episode, _pair(prompts.SUMMARY, "\n".join(lines)), audience="code"
    )
    return text_of(reply)


async def _follow_up(desk: HelpDesk, ticket: world.Ticket, episode: str, case: dict[str, str]) -> None:
    """The customer has answered the reply: a line for the colleagues' list."""
    lines = (
        f"Case: {ticket.number}",
        f"Product: {case['Product']}",
        f"Order: {case['Order']}",
        f"Customer answered: {ticket.answered}",
    )
    await desk.ask(ticket, "follow_up", episode, _pair(prompts.FOLLOW_UP, "\n".join(lines)), audience="code")


def _pair(system: str, user: str) -> list[Message]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _opening(ticket: world.Ticket, intent: str, details: dict[str, Any]) -> list[Message]:
    lines = (
        f"Case: {ticket.number}",
        f"Intent: {intent}",
        f"Order: {details.get('order_id') or 'unknown'}",
        f"Product: {details.get('product') or 'unknown'}",
        f"E-mail: {ticket.email}",
    )
    return _pair(prompts.ACTION, "\n".join(lines))


def back_office(ticket: world.Ticket, name: str, arguments: dict[str, Any], policy: str) -> dict[str, Any]:
    """The simulated shop's result of a tool call."""
    if name == "lookup_order":
        if arguments.get("order_id") != ticket.order_id:
            return {"error": "no such order"}
        return {**ticket.order(), "policy_check": policy}
    if ticket.fails and name != "escalate":
        return {"status": "failed", "detail": "the back office did not answer; a person will do it"}
    return {"status": "done"}


def _result(call: dict[str, Any], found: dict[str, Any]) -> Message:
    return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(found)}


def _said(message: Message) -> Message:
    kept = {k: v for k, v in message.items() if k in ("role", "content", "tool_calls")}
    return {"content": None, **kept}


def _tool_call(message: Message) -> tuple[dict[str, Any], str, dict[str, Any]] | None:
    calls = message.get("tool_calls") or []
    if not calls:
        return None
    function = calls[0]["function"]
    arguments = parse_json_object(function.get("arguments") or "{}")
    return calls[0], str(function["name"]), arguments or {}


async def _by_code(desk: HelpDesk, ticket: world.Ticket, episode: str) -> bool:
    """Code agency: the order of steps is fixed, the model is called for single jobs."""
    triage = await _triage(desk, ticket, episode)
    details = await _extract(desk, ticket, episode)
    intent = str(triage.get("intent", "other"))
    policy = await _policy_check(desk, ticket, episode)
    order_id = str(details.get("order_id", ""))
    # the program has looked the order up itself; the model is only asked for the step after that
    arguments = json.dumps({"order_id": order_id})
    lookup = {
        "id": f"call_{ticket.index}_lookup",
        "type": "function",
        "function": {"name": "lookup_order", "arguments": arguments},
    }
    messages = _opening(ticket, intent, details)
    messages.append({"role": "assistant", "content": None, "tool_calls": [lookup]})
    messages.append(_result(lookup, back_office(ticket, "lookup_order", {"order_id": order_id}, policy)))
    chosen = _tool_call(await desk.ask(ticket, "next_action", episode, messages, tools=prompts.TOOLS))
    action = chosen[1] if chosen else "escalate"
    case = {
        "Intent": intent,
        "Product": str(details.get("product")),
        "Order": order_id,
        "Policy check": policy,
        "Action": action,
    }
    await _case_line(desk, ticket, episode, case)
    user = "\n".join(
        [
            f"Case: {ticket.number}",
            *(f"{k}: {v}" for k, v in case.items()),
            "",
            "Customer wrote:",
            ticket.text,
        ]
    )
    await desk.ask(ticket, "reply", episode, _pair(prompts.REPLY, user), stream=True)
    await _follow_up(desk, ticket, episode, case)
    return chosen is not None


async def _by_model(desk: HelpDesk, ticket: world.Ticket, episode: str) -> bool:
    """Language model agency: the model picks the tools until it speaks to the customer; one tool is a model itself."""
    triage = await _triage(desk, ticket, episode)
    details = await _extract(desk, ticket, episode)
    intent = str(triage.get("intent", "other"))
    messages = _opening(ticket, intent, details)
    case = {"Intent": intent, "Product": str(details.get("product")), "Order": str(details.get("order_id"))}
    policy, action = "no", ""
    for _ in range(_MAX_ACTIONS):
        reply = await desk.ask(ticket, "next_action", episode, messages, tools=prompts.TOOLS)
        chosen = _tool_call(reply)
        if chosen is None:
            break
        call, name, arguments = chosen
        if name == "lookup_order":
            policy = await _policy_check(desk, ticket, episode)
        else:
            action = name
            await _case_line(desk, ticket, episode, {**case, "Policy check": policy, "Action": action})
        messages = [
            *messages,
            {**_said(reply), "tool_calls": [call]},
            _result(call, back_office(ticket, name, arguments, policy)),
        ]
    await _follow_up(desk, ticket, episode, case)
    return bool(action)
