"""The labels behind a certificate that compares a specialist with the right answers instead of the LLM's."""

from __future__ import annotations

import msgspec


class LabelEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Right answers of the calibration calls, as far as they were known."""

    n_labelled: int
    """Calibration units whose right answer is known, or of which it is known that the LLM's was wrong."""
    n_served: int
    """Of them, served at the threshold."""
    n_specialist_better: int = 0
    """Of these, answered rightly by the specialist and wrongly by the LLM."""
    n_llm_better: int = 0
    """The other way round."""
    at_random: bool = False
    """The labelled calls were drawn at random, so that they speak for the others too; else each call without a label
    counts against the specialist where its answer is not the LLM's."""
    not_random: str = ""
    """Why they are not taken for such a draw although that was declared; "" where nothing showed it."""
    differs_limit: float = 1.0
    """The share of served answers that may differ from the LLM's before audits speak against the route: the upper end
    of what calibration saw (Clopper-Pearson, one-sided 95 %)."""
