"""Licences of models, and what settings accept of them."""

from __future__ import annotations

from deputize.core.config import Convert
from deputize.specialists import catalogue
from deputize.specialists.licences import licence_of, licences, refusal_of_licence

DEFAULT = Convert().licence_conditions


def test_every_licence_of_the_catalogue_is_known_with_its_conditions() -> None:
    for model in catalogue.catalogue().values():
        for name in [model.licence, *model.also_licences]:
            assert name in licences(), f"{model.name}: {name}"
    for licence in licences().values():
        assert licence.conditions and licence.sentence
        assert licence.url.startswith("https://") or licence.name in ("unreleased", "unknown")


def test_settings_decide_which_conditions_are_accepted() -> None:
    assert refusal_of_licence(["apache-2.0"], DEFAULT) == refusal_of_licence(["MIT"], DEFAULT) == ""
    research = refusal_of_licence(["cc-by-nc-4.0"], DEFAULT)
    assert research.startswith("its licence (cc-by-nc-4.0: no commercial use") and research.endswith(
        ": non-commercial"
    )
    assert refusal_of_licence(["cc-by-nc-4.0"], [*DEFAULT, "non-commercial"]) == ""
    assert "use-policy" in refusal_of_licence(["gemma"], ["notice"])
    assert "revenue-limit" in refusal_of_licence(["lfm1.0"], DEFAULT)
    assert refusal_of_licence(["unreleased"], [*DEFAULT, "unreleased"]) == "it has no public weights"


def test_all_licences_bind_and_an_unlisted_one_is_unknown() -> None:
    assert "non-commercial" in refusal_of_licence(["mit", "cc-by-nc-4.0"], DEFAULT)
    assert licence_of("Acme 1.0").conditions == ["unknown"]
    assert "Acme 1.0" in refusal_of_licence(["Acme 1.0"], ["notice"])
