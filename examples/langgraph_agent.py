"""Language-model agency as a graph of LangGraph: a node asks the LLM, another runs the tools. The model gets another `base_url`."""

from __future__ import annotations

import os

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from letters import MODEL, letter

URL = os.environ.get("DEPUTIZE_URL", "http://127.0.0.1:8790")


@tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"{order_id}: packed, leaves today"


model = ChatOpenAI(
    model=MODEL,
    base_url=f"{URL}/v1",
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
    default_headers={"x-deputize-agent": "desk"},
).bind_tools([lookup_order])


def ask(state: MessagesState) -> MessagesState:
    return {"messages": [model.invoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("ask", ask)
graph.add_node("tools", ToolNode([lookup_order]))
graph.add_edge(START, "ask")
graph.add_conditional_edges("ask", tools_condition)
graph.add_edge("tools", "ask")
desk = graph.compile()

if __name__ == "__main__":
    for number in range(3):
        messages = [("system", "You help customers of a shop."), ("user", letter(number))]
        print(desk.invoke({"messages": messages})["messages"][-1].content)
