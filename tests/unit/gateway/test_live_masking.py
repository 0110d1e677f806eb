"""Requests are masked before they leave, from memory where they can be, and refused where they cannot be masked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.gateway.stubs import WordDetector

from deputize.core.config import Privacy
from deputize.core.errors import BadInput, OverLimit
from deputize.gateway import live_masking
from deputize.gateway.detector_process import DetectorProcess, MaskingFailed
from deputize.gateway.live_masking import LiveMasker, MaskedRequest, make_masker
from deputize.home import Home
from deputize.privacy.masking.found_values import Findings, Line
from deputize.privacy.masking.masker import mask_fields

PRIVACY = Privacy(live="mask")
KEY = b"k" * 32


def request(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def mask(masker: LiveMasker, fields: dict[str, Any], **more: str) -> MaskedRequest:
    return asyncio.run(masker.mask(fields, json.dumps(fields).encode(), **more))


def test_new_lines_are_looked_at_once_and_what_was_looked_at_is_what_is_sent() -> None:
    detector = WordDetector()
    masker = LiveMasker(detector, PRIVACY, KEY)
    for _ in range(2):
        masked = mask(masker, request("Anna came.\nAll well."))
        assert json.loads(masked.body) == masked.outgoing == request("PERSON_1a came.\nAll well.")
    assert [line for line, _ in detector.asked] == ["Anna came.", "All well."]
    twice = b'{"messages":[{"role":"user","content":"Anna"}],' + json.dumps(request("All well.")).encode()[1:]
    masked = asyncio.run(masker.mask(json.loads(twice), twice))
    assert json.loads(masked.body) == request("All well.") and b"Anna" not in masked.body


def test_the_end_user_is_named_by_a_pseudonym() -> None:
    fields = request("hi", user="anna@x.example", metadata={"user_id": "anna", "job": "1"})
    masked = mask(LiveMasker(WordDetector(), PRIVACY, KEY), fields, end_user="o_1")
    assert (masked.outgoing["user"], masked.outgoing["metadata"]) == ("o_1", {"user_id": "o_1", "job": "1"})


def test_a_key_of_the_providers_cache_becomes_a_pseudonym() -> None:
    def key_of(name: str, key: bytes = KEY) -> str:
        masker = LiveMasker(WordDetector(), PRIVACY, key)
        return str(mask(masker, request("hi", prompt_cache_key=name)).outgoing["prompt_cache_key"])

    assert key_of("kim@x.example") == key_of("kim@x.example") and "kim" not in key_of("kim@x.example")
    assert len({key_of("kim@x.example"), key_of("lee@x.example"), key_of("kim@x.example", b"other")}) == 3


def test_a_large_body_is_rewritten_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    real = mask_fields

    def noted(*arguments: Any, **more: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return real(*arguments, **more)

    monkeypatch.setattr(live_masking, "mask_fields", noted)
    masker = LiveMasker(WordDetector(), PRIVACY, KEY)
    mask(masker, request("Anna"))
    mask(masker, request("Anna " * live_masking.SMALL_BODY_BYTES))
    assert threads == [True, False]


class Broken:
    async def start(self) -> None: ...

    async def detect(self, lines: Sequence[Line]) -> list[Findings]:
        raise ValueError("boom Anna")

    async def stop(self) -> None: ...


def test_whatever_goes_wrong_the_request_is_refused_in_words_of_ours() -> None:
    with pytest.raises(MaskingFailed, match="not sent on") as caught:
        mask(LiveMasker(Broken(), PRIVACY, KEY), request("Anna"))
    assert "Anna" not in str(caught.value) and caught.value.http_status == 503


def test_what_cannot_be_masked_is_refused() -> None:
    masker = LiveMasker(WordDetector(), PRIVACY, KEY)
    with pytest.raises(BadInput, match="previous_response_id"):
        mask(masker, {"input": "x", "previous_response_id": "resp_1"})
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    with pytest.raises(BadInput, match="attachment"):
        mask(masker, {"messages": [{"role": "user", "content": image}]})
    passing = LiveMasker(WordDetector(), Privacy(live="mask", live_attachments="pass"), KEY)
    assert (
        mask(passing, {"messages": [{"role": "user", "content": image}]}).outgoing["messages"][0]["content"]
        == image
    )


class HangsOnce(WordDetector):
    n_calls = 0

    async def detect(self, lines: Sequence[Line]) -> list[Findings]:
        self.n_calls += 1
        if self.n_calls == 2:
            await asyncio.Event().wait()
        return await super().detect(lines)


def test_a_request_that_takes_too_long_is_refused_and_goes_on_from_there_when_it_comes_again() -> None:
    detector = HangsOnce()
    masker = LiveMasker(detector, Privacy(live="mask", live_timeout_s=0.2), KEY)
    fields = request("\n".join(f"line {n}" for n in range(80)))
    with pytest.raises(MaskingFailed, match="longer than"):
        mask(masker, fields)
    mask(masker, fields)
    lines = [line for line, _ in detector.asked]
    assert len(lines) == len(set(lines)) == 80


def test_only_so_many_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_masking, "MAX_WAITING", 1)

    async def two() -> list[Any]:
        masker = LiveMasker(WordDetector(wait_s=0.05), PRIVACY, KEY)
        calls = [masker.mask(request(text), b"{}") for text in ("Anna", "Bob")]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second = asyncio.run(two())
    assert isinstance(first, MaskedRequest) and isinstance(second, OverLimit)


def test_only_the_setting_makes_a_masker(tmp_path: Any) -> None:
    home = Home(tmp_path, environ={})
    assert make_masker(home) is None
    home.config_path.write_text('[privacy]\nlive = "mask"\n')
    made = make_masker(home)
    assert made is not None and isinstance(made._detector, DetectorProcess)
