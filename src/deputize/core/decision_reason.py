"""The reasons of decisions: why a specialist or an LLM answered a call, as records and metrics name them."""

from __future__ import annotations

from typing import Literal, TypeAlias

DecisionReason: TypeAlias = Literal[
    # the specialist may answer
    "live",
    "canary",
    "override",  # the caller asked for a model (either way)
    # the LLM answers, by the state of the route
    "no_route",
    "prompt_changed",  # its prompt, tools or reply format are nearly those of a task, and not as in its calls
    "closed",
    "rolled_back",
    "certificate_expired",
    "shadow",
    "outside_canary",
    # the LLM answers, by what the specialist said
    "below_threshold",
    "out_of_distribution",  # the request is unlike those that it was trained on
    "defer",
    "contract",  # its answer breaks the output contract
    # the LLM answers, since the specialist did not
    "no_specialists",
    "timeout",
    "worker_error",
    "loading",  # it is being loaded
    "other_engine",  # its certificate was measured on another engine, precision or version of the specialist
    # the LLM answers, since only an LLM can
    "pinned",  # the request refers to an earlier response
    "audience",  # a person reads the answer
    "params:n",
    "params:logprobs",
    "params:modalities",
    "params:background",
    # the LLM answers, since the request is not of the kind that was calibrated
    "model",
    "agent",
    "site",
    "no_text",  # the last message of the user has none
    "listed",  # it lists a tool or a reply schema that was not in training
    "votes",  # the same request is asked several times to count the answers
    "params:temperature",
    "params:top_p",
    "params:top_k",
    "params:max_tokens",
    "params:stop",
    "params:logit_bias",
    "params:seed",
    "params:frequency_penalty",
    "params:presence_penalty",
    "params:parallel_tool_calls",
    "params:prediction",
    "params:reasoning_effort",
    "params:reasoning",
    "params:thinking",
    "params:verbosity",
    "params:web_search_options",
    "params:other",
    # the LLM is asked as well, after a specialist
    "audit",
    "audit_repeat",  # for the second time, to see how often it differs from itself
]
"""Why a model answered a call."""

NOT_SERVING: tuple[DecisionReason, ...] = (
    "closed",
    "rolled_back",
    "certificate_expired",
    "shadow",
    "no_specialists",
    "other_engine",
)
"""Reasons of decisions about a route that serves nothing: all its calls have the LLM's answer."""
