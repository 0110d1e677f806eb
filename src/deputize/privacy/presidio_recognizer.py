"""Our detectors as recognizers of Presidio, so that its AnalyzerEngine, its anonymizer and presidio-research can use
them.

    from presidio_analyzer import AnalyzerEngine
    from deputize.privacy.presidio_recognizer import add_recognizers

    engine = AnalyzerEngine()
    add_recognizers(engine.registry, languages=["en", "de"])
    engine.analyze("Mail ann.lee@corp.com", language="en")

References:
    Presidio documentation, "Supporting detection of new types of PII entities".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from deputize.core.errors import MissingExtra
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.entity_types import DIRECT, INDIRECT

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer, RecognizerRegistry


def presidio_recognizer(
    detector: Detector | None = None, *, language: str = "en", types: Iterable[str] = DIRECT | INDIRECT
) -> EntityRecognizer:
    """A detector as a recognizer of Presidio.

    Args:
        detector: any detector; None: our rules, which need no model and know eleven languages.
        language: that Presidio asks it in; the rules look for those of all their languages in any text.
        types: of personal data that it reports; most have Presidio's own names (privacy.entity_types).

    Raises:
        MissingExtra: Presidio is not installed.
    """
    try:
        from presidio_analyzer import EntityRecognizer, RecognizerResult
    except ImportError:
        raise MissingExtra.package("presidio-analyzer", "privacy") from None
    used = detector or DeobfuscatingDetector(RuleDetector())

    class DetectorRecognizer(EntityRecognizer):  # type: ignore[misc]
        """Asks a detector for the spans of one text."""

        def load(self) -> None:
            """Nothing to load."""

        def analyze(
            self, text: str, entities: Sequence[str], nlp_artifacts: object
        ) -> list[RecognizerResult]:
            (spans,) = used.detect([text])
            source = {
                RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
                RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
            }
            return [
                RecognizerResult(s.type, s.start, s.end, s.score, recognition_metadata=dict(source))
                for s in spans
                if s.type in entities
            ]

    return DetectorRecognizer(
        supported_entities=sorted(types), name=f"deputize-{used.name}", supported_language=language
    )


def add_recognizers(
    registry: RecognizerRegistry,
    detectors: Sequence[Detector | None] = (None,),
    languages: Sequence[str] = ("en",),
) -> None:
    """Adds a recognizer for each detector and language to the registry of an AnalyzerEngine.

    Args:
        detectors: None among them: our rules.
        languages: that the engine is asked in.

    Raises:
        MissingExtra: Presidio is not installed.
    """
    for detector in detectors:
        for language in languages:
            registry.add_recognizer(presidio_recognizer(detector, language=language))
