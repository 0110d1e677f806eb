"""Lines in languages without a measured recall: the words in them that many people use, and what users are told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from deputize.privacy.entity_types import UNMEASURED
from deputize.privacy.languages import MEASURED, name_of
from deputize.privacy.replace.allowlist import MIN_ORIGINS
from deputize.privacy.replace.mask import MIN_PEOPLE
from deputize.privacy.scan.scanned_log import ScannedLog

MIN_LINES = 3
"""A language with fewer distinct lines is not named: one line may be mistaken for another language."""
_DONE = {
    "mask": "words in them with a capital letter, a digit or an @ that few people use were masked",
    "quarantine": "calls with such words were quarantined",
    "keep": "only what the detectors found was replaced",
}


def shared_words(scanned: ScannedLog) -> frozenset[str]:
    """The words, case folded, among those that may identify a person, which MIN_PEOPLE people use; in a log of fewer
    those that all of them use, two at least. A person is an origin where the log names at least MIN_ORIGINS of them,
    else an episode."""
    names_origins = len(scanned.origins()) >= MIN_ORIGINS
    words: dict[str, set[str]] = defaultdict(set)
    for episode, parts in scanned.episodes.items():
        origin = next((o for part in parts for o in part.origins), "") if names_origins else ""
        words[origin or episode].update(
            finding.value.casefold()
            for part in parts
            for number in part.all_lines()
            for finding in scanned.line_index.findings(number)
            if finding.type == UNMEASURED
        )
    n_people = Counter(word for of_person in words.values() for word in of_person)
    least = min(MIN_PEOPLE, max(2, len(words)))
    return frozenset(word for word, n in n_people.items() if n >= least)


def language_warnings(languages: Mapping[str, int], unmeasured: str) -> list[str]:
    """The languages of a log without a measured recall, and what was done with them."""
    found = sorted(
        ((n, name_of(one)) for one, n in languages.items() if one not in MEASURED and n >= MIN_LINES),
        key=lambda row: (-row[0], row[1]),
    )
    if not found:
        return []
    named = ", ".join(f"{name} ({n:,} lines)" for n, name in found)
    return [
        f"The recall of personal data has not been measured in {named}; {_DONE[unmeasured]} ([privacy] unmeasured = "
        f'"{unmeasured}"). Which language a line is in is told by its script and function words.'
    ]
