"""Ids of tool calls that a specialist makes, in the form clients know."""

from __future__ import annotations

import os


def new_tool_call_id() -> str:
    """A fresh id such as call_5f0c..."""
    return "call_" + os.urandom(12).hex()
