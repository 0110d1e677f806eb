"""Labels of models as entity types, and entities put together."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.privacy.detectors.token_classification import entity_type_of, group_entities


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("B-PER", "PERSON"),
        ("private_email", "EMAIL_ADDRESS"),
        ("firstName", "PERSON"),
        ("I-CREDIT_CARD", "CREDIT_CARD"),
        ("O", ""),
        ("MISC", ""),
        ("ticket_number", "TICKET_NUMBER"),
    ],
)
def test_the_type_of_a_label(label: str, kind: str) -> None:
    assert entity_type_of(label) == kind


def entity(label: str, start: int, end: int, score: float = 0.9) -> dict[str, Any]:
    return {"entity_group": label, "start": start, "end": end, "score": score}


def test_the_end_of_an_entity_is_joined_to_its_beginning() -> None:
    found = [entity("B-PER", 0, 3), entity("E-PER", 4, 7, 0.7), entity("E-LOC", 8, 12)]
    assert group_entities(found, "Ann Lee Rome") == [("B-PER", 0, 7, 0.7), ("E-LOC", 8, 12, 0.9)]
    apart = [entity("B-PER", 0, 3), entity("E-PER", 6, 9)]
    assert len(group_entities(apart, "Ann x Lee")) == 2
