"""Request parameters that change a model's answer, under one name and in one written form for every protocol.

Pure: no I/O. Values that a caller may have made up are kept as digests, so that nothing of a request can be read from
what is stored of its parameters.

References:
    OpenAI API reference, "Chat completions" and "Responses"; Anthropic API reference, "Messages".
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

SAME_ANSWER: Final = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        # the gateway has resolved these, or pins the call to where the earlier one went
        "previous_response_id",
        "conversation",
    }
)
"""Parameters that say how an answer is sent, kept or billed, not what it is."""

_OTHER_NAMES: Final = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "top_logprobs": "logprobs",
    "best_of": "n",
    "audio": "modalities",
}

PLAIN: Final = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "n",
        "logprobs",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "background",
        "truncation",
    }
)
"""Parameters with documented numbers, switches or words for values; these are kept as they are."""

_DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "temperature": (1,),
    "top_p": (1,),
    "n": (1,),
    "logprobs": (False, 0),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "parallel_tool_calls": (True,),
    "background": (False,),
    "stop": ("", []),
    "logit_bias": ({},),
    "modalities": (["text"], {}, False),
    "include": ([],),
    "truncation": ("disabled",),
    "text": ({"format": {"type": "text"}}, {}),
    "thinking": ({"type": "disabled"},),
}
"""Values that mean the same as leaving the parameter out."""

_sorted_json = msgspec.json.Encoder(order="sorted").encode


def answer_params(params: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a request that change its answer, by name; those left out or at their default are not in it.

    Args:
        params: request fields besides messages, tools, reply format, tool choice and model, in any protocol.

    Returns:
        Name -> value as text: of a documented parameter the value itself, of any other a digest.
    """
    out: dict[str, str] = {}
    for name, value in params.items():
        if name in SAME_ANSWER or value is None:
            continue
        if name == "disable_parallel_tool_use":
            name, value = "parallel_tool_calls", not value
        name = _OTHER_NAMES.get(name, name)
        if name in _DEFAULTS and value in _DEFAULTS[name]:
            continue
        written = _written(name, value)
        if name == "max_tokens" and name in out:
            written = min(written, out[name], key=_number)
        out[name] = written
    return out


def _written(name: str, value: Any) -> str:
    if name in PLAIN:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, str) and len(value) <= 32:
            return value
    return "#" + blake2b(_sorted_json(value), digest_size=8).hexdigest()


def _number(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return float("-inf")
