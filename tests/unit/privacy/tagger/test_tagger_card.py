"""The card of a tagger says what was measured."""

from __future__ import annotations

import msgspec

from deputize.core.records import decode, encode
from deputize.privacy.tagger.tagger_card import TaggerCard

CARD = TaggerCard(
    types=["PERSON"],
    threshold=0.5,
    n_train=10,
    n_negatives=5,
    n_validation=2,
    spans_by_type={"PERSON": 5},
    epochs=3,
    stopped_early=False,
    train_s=1.0,
    seed=0,
)


def test_nothing_is_said_where_nothing_was_measured() -> None:
    assert CARD.measured() == "" and decode(encode(CARD), TaggerCard) == CARD


def test_the_recall_together_with_the_rules_comes_first() -> None:
    alone = msgspec.structs.replace(CARD, test={"char_recall": 0.9}, n_test=1200, sources={"letters": 10})
    assert alone.measured() == "measured recall 0.900 on 1,200 held-out samples of letters"
    both = msgspec.structs.replace(alone, test_union={"char_recall": 0.95})
    assert (
        both.measured()
        == "measured recall 0.950 together with the rules on 1,200 held-out samples of letters"
    )
