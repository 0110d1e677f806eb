"""A server with OpenAI's completions API and log-probabilities, as what writes answers.

References:
    OpenAI API reference, "Create completion" (prompt, max_tokens, logprobs).
    llama.cpp, the manual of its server, and vLLM, "OpenAI-compatible server" (grammar; structured_outputs,
    return_tokens_as_token_ids): the fields beyond it.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput, UpstreamError, UpstreamTimeout
from deputize.specialists.prompt_tokenizer import PromptTokenizer
from deputize.specialists.writing.base import Key, WrittenToken

ANSWER_WITHIN_S = 30.0
"""A server that says nothing for so long has failed; the gateway has asked the LLM long before."""
N_LISTED, N_LISTED_OPENAI = 20, 5
"""Likeliest tokens asked for at each place; OpenAI's own limit is 5."""
_ID = "token_id:"
"""What vLLM writes before the id of a token."""


class NotServed(BadInput):
    """The server is there and does not know the path, or the model that is asked for."""


@dataclass(frozen=True)
class AskedAnswer:
    """The form of the answers of one specialist, as a writer is told."""

    words: PromptTokenizer
    grammar: str
    """GBNF, in tokens."""
    pattern: str
    """The same as a regular expression."""
    is_one_line: bool
    """Every answer is one line."""
    most: int
    """Tokens of an answer."""
    context: int
    """Tokens of prompt and answer together."""


class CompletionsServer:
    """One model of a server."""

    def __init__(
        self, settings: EngineSettings, asked: AskedAnswer, *, base_url: str, model: str, label: str
    ) -> None:
        """
        Args:
            settings: of the engine.
            asked: of the answers.
            base_url: up to and with /v1.
            model: its name at the server.
            label: for certificates.
        """
        self.label, self.at_once = label, settings.at_once
        self._settings, self._asked, self._model = settings, asked, model
        self._api = JsonApi(base_url, settings.api_key_env)
        self._has_ids = settings.kind == "vllm" or settings.constraint == "pattern"

    def write(self, prompt: Sequence[int]) -> list[WrittenToken]:
        """The tokens of an answer. Raises as `writing.base.Writer.write`."""
        asked, settings = self._asked, self._settings
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": list(prompt)
            if settings.prompt == "tokens"
            else asked.words.tokenizer.decode(list(prompt), clean_up_tokenization_spaces=False),
            "max_tokens": asked.most,
            "temperature": 0,
        }
        free = not self._has_ids and settings.constraint == "none"
        body["logprobs"] = N_LISTED_OPENAI if free else N_LISTED
        if self._has_ids:
            body |= {"structured_outputs": {"regex": asked.pattern}, "return_tokens_as_token_ids": True}
            body |= {"add_special_tokens": False}
        elif settings.constraint == "grammar":
            # what a cache holds of the prompt is computed in other batches, and rounds differently
            body |= {"grammar": asked.grammar, "cache_prompt": False}
        elif asked.is_one_line:
            body["stop"] = ["\n"]
        choice = first_choice(self._api.post("/completions", body))
        tokens = tokens_of(choice.get("logprobs"))
        if "stop" in body and choice.get("finish_reason") == "stop":
            tokens = _ended(tokens, asked.words.newline)
        return tokens

    def close(self) -> None:
        """Closes the connections to the server."""
        self._api.close()


def first_choice(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The first answer in a reply. Raises BadInput where there is none."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadInput("The server's reply holds no choice, so it is no answer of OpenAI's completions API.")
    return choices[0]


def _ended(tokens: list[WrittenToken], line_break: int) -> list[WrittenToken]:
    """The tokens with the line break at which the server stopped, which some servers give and some do not."""
    by_id = bool(tokens) and isinstance(tokens[-1].key, int)
    end: Key = line_break if by_id else "\n"
    if tokens and (tokens[-1].key == end or str(tokens[-1].key).endswith("\n")):
        return tokens
    return [*tokens, WrittenToken(end, 0.0, {})]


def tokens_of(logprobs: Any) -> list[WrittenToken]:
    """The tokens of a reply's log-probabilities, in either of the two forms that servers give.

    Raises:
        BadInput: it holds none.
    """
    if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
        return [
            WrittenToken(_key(one), float(one["logprob"]), _listed(one.get("top_logprobs")))
            for one in logprobs["content"]
        ]
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("tokens"), list):
        raise BadInput("The server gives no log-probabilities, and without them no answer has a confidence.")
    n_tokens = len(logprobs["tokens"])
    tops = logprobs.get("top_logprobs") or [None] * n_tokens
    return [
        WrittenToken(
            _plain_key(text), float(log_p), {_plain_key(other): float(p) for other, p in (top or {}).items()}
        )
        for text, log_p, top in zip(logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True)
    ]


def _key(entry: Mapping[str, Any]) -> Key:
    id_ = entry.get("id")
    return int(id_) if isinstance(id_, int) and id_ >= 0 else _plain_key(str(entry.get("token", "")))


def _plain_key(text: str) -> Key:
    return int(text.removeprefix(_ID)) if text.startswith(_ID) else text


def _listed(entries: Any) -> dict[Key, float]:
    return {_key(one): float(one["logprob"]) for one in entries or ()}


class JsonApi:
    """JSON over HTTP to one server. Connections are kept between requests; any thread may ask."""

    def __init__(self, base_url: str, api_key_env: str = "", *, timeout_s: float = ANSWER_WITHIN_S) -> None:
        """
        Args:
            base_url: what paths are put behind.
            api_key_env: variable with the key; "": none is sent.
            timeout_s: for each answer.
        """
        at = urlsplit(base_url)
        self.base_url, self._timeout_s = base_url, timeout_s
        self._secure, self._host, self._prefix = at.scheme == "https", at.netloc, at.path.rstrip("/")
        self._key_variable = api_key_env
        self._idle: list[http.client.HTTPConnection] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a request; {} where it is no JSON object.

        Raises:
            NotServed: it has no such path or model.
            BadInput: the server refuses it. What the server says is not repeated, for it may quote the prompt.
            UpstreamError: the server is not there, or fails.
            UpstreamTimeout: it says nothing in time.
        """
        status, text = self._ask("POST", path, json.dumps(body).encode())
        if status >= 500:
            raise UpstreamError(f"The server at {self.base_url} fails ({status}).")
        if status == 404:
            raise NotServed(f"The server at {self.base_url} refuses {path} (404).")
        if status >= 400:
            raise BadInput(f"The server at {self.base_url} refuses {path} ({status}).")
        try:
            found = json.loads(text)
        except ValueError:
            return {}  # vLLM acknowledges an adapter with a line of text
        return found if isinstance(found, dict) else {}

    def is_up(self, path: str = "/models") -> bool:
        """True where the server answers."""
        try:
            return self._ask("GET", path, None)[0] < 400
        except UpstreamError:
            return False

    def close(self) -> None:
        """Closes the connections: those that nobody uses now, the others when they are given back."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for connection in idle:
            connection.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        if self._key_variable:
            headers["authorization"] = f"Bearer {os.environ.get(self._key_variable, '')}"
        while True:
            connection, is_fresh = self._connection()
            try:
                connection.request(method, self._prefix + path, body=body, headers=headers)
                response = connection.getresponse()
                found = response.status, response.read()
            except TimeoutError:
                connection.close()
                raise UpstreamTimeout(f"The server at {self.base_url} says nothing.") from None
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if is_fresh:
                    name = type(error).__name__
                    raise UpstreamError(
                        f"The server at {self.base_url} cannot be reached: {name}."
                    ) from error
                continue  # a kept connection had been closed meanwhile
            with self._lock:
                if not self._is_closed:
                    self._idle.append(connection)
                    return found
            connection.close()  # `close` came while this was asked
            return found

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """(a connection, True where it is a new one)."""
        with self._lock:
            if self._idle:
                return self._idle.pop(), False
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, timeout=self._timeout_s), True
