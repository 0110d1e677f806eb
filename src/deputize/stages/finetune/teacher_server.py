"""Asks a teacher's server how likely it finds each next token, place by place, within a number of questions and a
budget.

Any server with OpenAI's completions API and log-probabilities will do: it is given the tokens before a place and asked
for one more. It has to cut texts into the same tokens as the student, which is checked before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deputize.core.config import TeacherSettings
from deputize.core.errors import BadInput, UpstreamError
from deputize.core.records import Usage
from deputize.scoring.costs import load_prices
from deputize.specialists.prompt_tokenizer import PromptTokenizer
from deputize.specialists.writing.base import Key
from deputize.specialists.writing.completions_server import JsonApi, first_choice, tokens_of

N_COMPARED = 8
"""Texts whose number of tokens is compared between the student and the server."""
MAX_FAILURES = 3
"""After so many rounds in a row without an answer the server is not asked any more."""
_OTHERS = "another model than the student's tokenizer belongs to"


class TeacherServer:
    """One model of a server, and what it was asked so far. Close it in the end."""

    def __init__(self, settings: TeacherSettings, model: str, words: PromptTokenizer, home: Path) -> None:
        """
        Args:
            settings: of the server.
            model: its name there.
            words: the student's tokenizer.
            home: for the price list.
        """
        self.model, self.n_questions, self.usd = model, 0, 0.0
        self.stopped = ""
        """Why it is not asked any more; "" where it is."""
        self._settings, self._words, self._n_failures = settings, words, 0
        self._api = JsonApi(settings.base_url, settings.api_key_env)
        self._price = load_prices(home).of(model)
        self._vocabulary: dict[str, int] = {}

    def check(self, texts: Sequence[str]) -> None:
        """Compares how the student and the server cut texts into tokens.

        Args:
            texts: of train; the more they differ the better.

        Raises:
            BadInput: the server cannot be reached, gives no log-probabilities, or has another tokenizer.
        """
        offsets, lists = set[int](), False
        for text in [text for text in texts if text][:N_COMPARED]:
            try:
                reply = self._api.post("/completions", self._body(text))
            except UpstreamError as error:
                raise BadInput(f"the teacher cannot be asked: {error}") from error
            counted = (reply.get("usage") or {}).get("prompt_tokens")
            if not isinstance(counted, int):
                raise BadInput(
                    "the teacher's server does not count the tokens of prompts (usage.prompt_tokens), so its tokenizer cannot "
                    "be compared with the student's"
                )
            offsets.add(counted - len(self._words.ids(text)))
            lists = bool(first_choice(reply).get("logprobs")) or lists
        # a server may put a beginning of its own before every text, and counts it each time
        if len(offsets) > 1 or not offsets <= {0, 1}:
            raise BadInput(
                f"the teacher {self.model} cuts texts into other tokens than the student (the same {len(offsets)} texts differ by "
                f"{min(offsets)} to {max(offsets)} tokens), so its probabilities say nothing of the student's tokens; take a teacher "
                "of the student's family of models"
            )
        if not lists:
            raise BadInput(
                "the teacher's server gives no log-probabilities, and there is nothing to learn from without them"
            )

    def next_tokens(self, prefixes: Sequence[Sequence[int]]) -> list[dict[int, float]] | None:
        """Log-probabilities of the likeliest tokens after each prefix, by token id.

        Args:
            prefixes: token ids; a question each.

        Returns:
            None where the questions are more than are left, the budget is spent, or the server fails; `stopped` says so
            once it is not asked any more.
        """
        settings = self._settings
        if not self.stopped and self.n_questions + len(prefixes) > settings.max_questions:
            self.stopped = f"the {settings.max_questions:,} questions allowed are used up"
        if not self.stopped and settings.budget_usd is not None and self.usd >= settings.budget_usd:
            self.stopped = f"the budget of {settings.budget_usd:g} US dollars is spent"
        if self.stopped or not prefixes:
            return None if self.stopped else []
        with ThreadPoolExecutor(min(settings.at_once, len(prefixes))) as pool:
            found = list(pool.map(self._ask, prefixes))
        self.n_questions += len(prefixes)
        self.usd += sum(usd for _, usd in found)
        answers = [answer for answer, _ in found if answer is not None]
        self._n_failures = 0 if len(answers) == len(prefixes) else self._n_failures + 1
        if self._n_failures >= MAX_FAILURES:
            self.stopped = "the server failed three times in a row"
        return answers if len(answers) == len(prefixes) else None

    def close(self) -> None:
        """Closes the connections to the server."""
        self._api.close()

    def _ask(self, prefix: Sequence[int]) -> tuple[dict[int, float] | None, float]:
        """(log-probabilities, price); None where the server fails."""
        try:
            reply = self._api.post("/completions", self._body(list(prefix)))
        except UpstreamError:
            return None, 0.0
        usage = reply.get("usage") or {}
        read, written = (
            int(usage.get("prompt_tokens") or len(prefix)),
            int(usage.get("completion_tokens") or 1),
        )
        return self._listed(reply), self._price.usd(Usage(prompt_tokens=read, completion_tokens=written))

    def _body(self, prompt: str | list[int]) -> dict[str, Any]:
        return {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": self._settings.n_listed,
        }

    def _listed(self, reply: Mapping[str, Any]) -> dict[int, float]:
        """The listed tokens of the first place, by the student's ids.

        Raises:
            BadInput: there are none, or most of them are no tokens of the student.
        """
        given = first_choice(reply).get("logprobs")
        found = tokens_of(given) if given else []
        if not found:
            return {}  # it would end here, with a token that it does not name
        named = {found[0].key: found[0].log_p, **found[0].others}
        known = {id: log_p for key, log_p in named.items() if (id := self._id(key)) is not None}
        if 2 * len(known) < len(named):
            raise BadInput(
                f"the tokens that the teacher {self.model} lists are not the student's: it is {_OTHERS}"
            )
        return known

    def _id(self, key: Key) -> int | None:
        if isinstance(key, int):
            return key if key < len(self._words.tokenizer) else None
        if not self._vocabulary:
            size = len(self._words.tokenizer)
            texts = self._words.tokenizer.batch_decode([[id] for id in range(size)])
            # of several tokens with one text (halves of characters) the first stands for all
            self._vocabulary = {text: id for id, text in reversed(list(enumerate(texts)))}
        return self._vocabulary.get(key)
