"""Masks requests before they leave for an LLM (`[privacy] live = "mask"`), and restores the answers.

Fails closed: a request that cannot be masked is refused and not sent. What was looked at before is masked at once, as
is most of an agent's request; new lines are looked at by another process. Large bodies are rewritten in a thread.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from deputize.core.config import Privacy
from deputize.core.errors import DeputizeError, OverLimit
from deputize.gateway.detector_process import DetectorProcess, MaskingFailed
from deputize.gateway.restored_response import RestoredResponse
from deputize.home import Home
from deputize.http.headers import header
from deputize.http.transport import UpstreamResponse
from deputize.privacy.detectors.gazetteer import gazetteer
from deputize.privacy.masking.found_values import Findings, FoundValues, Line
from deputize.privacy.masking.masker import mask_fields, texts_of
from deputize.privacy.masking.placeholders import Placeholders
from deputize.privacy.masking.request_fields import check_maskable
from deputize.privacy.tagger.versions import check_tagger

log = logging.getLogger("deputize.gateway")

SMALL_BODY_BYTES = 32 * 1024
"""A larger body is not rewritten on the event loop."""
MAX_WAITING = 64
"""Requests whose new lines wait to be looked at; more are told to come back."""
_BATCH_LINES = 32
_CACHE_KEY_CHARS = 32
_END_USERS = ("user", "safety_identifier")
_NOT_TEXT = ("audio/", "image/", "video/", "application/octet-stream", "application/pdf")

_encode = msgspec.json.Encoder().encode


class LineScanner(Protocol):
    """Looks for personal data; `DetectorProcess` in production."""

    async def start(self) -> None: ...

    async def detect(self, lines: Sequence[Line]) -> list[Findings]: ...

    async def stop(self) -> None: ...


class MaskedRequest(msgspec.Struct, frozen=True):
    """A request as an LLM may see it."""

    outgoing: dict[str, Any]
    """The decoded body."""
    body: bytes
    placeholders: Placeholders

    def restored(self, response: UpstreamResponse, max_bytes: int) -> UpstreamResponse:
        """The response with the values put back; itself where there is nothing to put back.

        Args:
            max_bytes: an answer beyond this is cut off.
        """
        if not len(self.placeholders) or header(response.headers, "content-type").startswith(_NOT_TEXT):
            return response
        return RestoredResponse(response, self.placeholders, max_bytes)


class LiveMasker:
    """Masks requests. To be used from the event loop's thread."""

    def __init__(self, detector: LineScanner, privacy: Privacy, key: bytes) -> None:
        """
        Args:
            detector: looks for personal data.
            privacy: the settings.
            key: of the pseudonyms of clients' keys for the provider's cache.
        """
        self._detector, self._key = detector, key
        self._timeout_s = privacy.live_timeout_s
        self._passes_attachments = privacy.live_attachments == "pass"
        self._found = FoundValues()
        self._n_waiting = 0

    async def start(self) -> None:
        """Loads the detectors, and the list of names. Raises BadInput where one of them cannot be made."""
        await self._detector.start()
        await _run(True, partial(gazetteer))

    async def stop(self) -> None:
        """Ends the detectors' process."""
        await self._detector.stop()

    async def mask(self, fields: dict[str, Any], body: bytes, *, end_user: str = "") -> MaskedRequest:
        """A request with placeholders in place of personal values.

        Args:
            fields: the decoded body.
            body: its bytes.
            end_user: pseudonym of the end user that the body may name.

        Raises:
            BadInput: it has parts that cannot be masked.
            OverLimit, MaskingFailed: it cannot be masked now.
        """
        try:
            check_maskable(fields)
            return await self._mask(fields, body, end_user)
        except DeputizeError:
            raise
        except Exception as error:  # whatever happens, nothing is sent
            log.error("masking failed: %s", type(error).__name__)
            raise MaskingFailed(
                "Personal data in the request could not be masked, so it was not sent on."
            ) from error

    async def _mask(self, fields: dict[str, Any], body: bytes, end_user: str) -> MaskedRequest:
        passes, is_large = self._passes_attachments, len(body) > SMALL_BODY_BYTES
        named = self._with_pseudonyms(fields, end_user)
        texts = await _run(is_large, partial(texts_of, named, passes_attachments=passes))
        new = await _run(is_large, partial(self._found.new_lines, texts))
        if new:
            await self._look(new)
        findings = await _run(is_large, partial(self._found.findings, texts))
        work = partial(mask_fields, named, texts, findings, passes_attachments=passes)
        masked, placeholders = await _run(is_large, work)
        # encoded even where nothing was found: of a field that is given twice only the last one was looked at
        return MaskedRequest(masked, _encode(masked), placeholders)

    def _with_pseudonyms(self, fields: dict[str, Any], end_user: str) -> dict[str, Any]:
        """A request that names its end user by a pseudonym; as it is where it names none.

        A key for the provider's cache is most often somebody's id too. Each has a pseudonym of its own, or the caches
        of all clients would be one.
        """
        made: dict[str, Any] = {
            name: end_user or "user"
            for name in _END_USERS
            if isinstance(fields.get(name), str) and fields[name]
        }
        metadata, cache_key = fields.get("metadata"), fields.get("prompt_cache_key")
        if isinstance(metadata, Mapping) and isinstance(metadata.get("user_id"), str):
            made["metadata"] = {**metadata, "user_id": end_user or "user"}
        if isinstance(cache_key, str) and cache_key:
            written = cache_key.encode("utf-8", "surrogatepass")
            made["prompt_cache_key"] = hmac.digest(self._key, written, "sha256").hex()[:_CACHE_KEY_CHARS]
        return {**fields, **made} if made else fields

    async def _look(self, lines: Sequence[Line]) -> None:
        """Looks for personal data in lines, some at a time: others get their turn between, and what was done is done
        when a request that took too long comes again."""
        if self._n_waiting >= MAX_WAITING:
            raise OverLimit("Too many requests wait for their personal data to be masked; try again.", 1.0)
        self._n_waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                for start in range(0, len(lines), _BATCH_LINES):
                    batch = lines[start : start + _BATCH_LINES]
                    self._found.add(batch, await self._detector.detect(batch))
        except TimeoutError:
            raise MaskingFailed(
                f"Looking for personal data in the request took longer than {self._timeout_s:g} s, so it was not sent on."
            ) from None
        finally:
            self._n_waiting -= 1


async def _run(in_thread: bool, work: partial[Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work) if in_thread else work()


def make_masker(home: Home) -> LiveMasker | None:
    """The masker that the settings of a home ask for; None where they ask for none.

    Raises:
        BadInput: the settings cannot be used.
        Tampered: the tagger of the home is not the one that a command wrote.
    """
    privacy = home.privacy()
    if privacy.live != "mask":
        return None
    check_tagger(home)
    return LiveMasker(DetectorProcess(home.path, privacy), privacy, home.keyring.derive("masked cache keys"))
