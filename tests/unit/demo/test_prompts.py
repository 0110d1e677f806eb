"""The templates of the simulated agent are long, as real ones, and the same for every call."""

from __future__ import annotations

from deputize.core.contracts import text_of
from deputize.demo import prompts
from deputize.demo.agent import Seen
from deputize.testing.scripted_llm import count_tokens


async def test_templates_are_long_and_the_same_for_every_call(seen: list[Seen]) -> None:
    for site in ("triage", "policy_check", "next_action", "case_line", "follow_up", "reply"):
        systems = {text_of(s.messages[0]) for s in seen if s.site == site}
        assert len(systems) == 1
        assert 300 <= count_tokens(systems.pop()) <= 800
    assert 300 <= count_tokens(prompts.EXTRACT_HEAD + prompts.EXTRACT_TAIL) <= 800
