"""A test of whether the values of a field are prose for a person: sentences of a natural language that no code reads.

Only such fields may be left out of the comparison of two answers, so every doubt counts against it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from deputize.core.contracts import fold, text_of
from deputize.core.function_words import FUNCTION_WORDS
from deputize.core.prompt import calls_text
from deputize.core.records import Example, Message

MIN_VALUES = 20
"""Values from which the test says anything."""
MIN_WORDS = 5
FUNCTION_SHARE = 0.2
"""Share of function words (the, und, para) over all values; running text of the languages below has .3 to .5."""
MOST_ODD = 0.05
"""Share of values that may be no sentence, or hold what looks like code."""
MOST_USED = 0.05
"""Share of values that may occur in what was sent to the LLM before or after."""

_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE_END = re.compile(r"[.!?…][\"'”»)]*\s*$")
_CODE = re.compile(
    r"[={}<>|\\`^~]"  # operators and brackets of code, JSON, markup
    r"|\w_\w|\w\(\)|\b\w+\.\w+\(|::|->"  # identifiers and calls
    r"|://|(?:^|\s)\.{0,2}/\w|\w/\w+/"  # addresses and paths
    r"|(?:^|\s)--?[A-Za-z]"  # options of a command
    r"|;\s*(?:$|\n)"  # statements
    r"|\A\s*(?i:select|insert|update|delete|with|create|drop|alter)\b.*\b(?i:from|into|set|table|as)\b",
    re.DOTALL,
)
_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):]|step\s+\d+)\s", re.MULTILINE | re.IGNORECASE)


def is_natural_language(values: Sequence[str]) -> bool:
    """True where values read as sentences for a person: words that such text cannot do without, and nothing of code in
    it.

    False with fewer than MIN_VALUES values. Languages without blanks between words are not recognised.
    """
    if len(values) < MIN_VALUES:
        return False
    words = [word for value in values for word in _WORD.findall(value)]
    # a keyword of SQL in capitals is no function word
    n_function = sum(word.lower() in FUNCTION_WORDS and not word.isupper() for word in words)
    if n_function < FUNCTION_SHARE * len(words):
        return False
    return sum(map(_is_odd, values)) <= MOST_ODD * len(values)


def _is_odd(value: str) -> bool:
    return (
        len(_WORD.findall(value)) < MIN_WORDS
        or _SENTENCE_END.search(value) is None
        or _CODE.search(value) is not None
        or len(_LIST_ITEM.findall(value)) > 1
    )


class EpisodeTexts:
    """Texts of the requests and tool calls of whole episodes: where a value of a reply appears, code has used it."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._examples: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            self._examples[example.episode or example.call_id].append(example)
        self._texts: dict[str, str] = {}

    def holds(self, example: Example, value: str) -> bool:
        """True where a value of an example's reply was sent to the LLM or to a tool in the same episode.

        The history of a dialogue, in which the LLM's own replies stand, does not count.
        """
        text = self._text_of(example.episode or example.call_id)
        forms = (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
        return any(bool(folded) and folded in text for folded in map(fold, forms))

    def _text_of(self, episode: str) -> str:
        if episode not in self._texts:
            sent = (text for example in self._examples[episode] for text in _sent(example))
            self._texts[episode] = fold("\n".join(dict.fromkeys(sent)))
        return self._texts[episode]


def _sent(example: Example) -> Iterable[str]:
    for message in (*example.request.messages, example.response):
        yield calls_text(message)
        if message.get("role", "assistant") != "assistant":
            yield text_of(message)


def request_text(messages: Sequence[Message], max_chars: int = 60_000) -> str:
    """The texts of a request, one after the other."""
    return "\n".join(text_of(m) for m in messages)[:max_chars]


def is_prose(pairs: Sequence[tuple[Example, object]], episodes: EpisodeTexts) -> bool:
    """True where a field's values are prose for a person that nothing in the log was seen to use.

    Args:
        pairs: examples of train and validation, each with its value of the field.
        episodes: all calls of the log that may be looked at.
    """
    texts = [(example, value) for example, value in pairs if isinstance(value, str)]
    if len(texts) < len(pairs) or not is_natural_language([text for _, text in texts]):
        return False
    sample = texts[:: max(1, len(texts) // 300)]
    return sum(episodes.holds(example, text) for example, text in sample) <= MOST_USED * len(sample)
