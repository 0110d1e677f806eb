"""What a certificate knows of right answers survives a file with it."""

from __future__ import annotations

from deputize.core.label_evidence import LabelEvidence
from deputize.core.records import Certificate, decode, encode

CERTIFICATE = Certificate(
    id="c",
    kind="not_worse_on_labels",
    epsilon=0.05,
    delta=0.05,
    n_calibration=300,
    threshold=0.8,
    share_served=0.7,
    p_value=0.01,
    claim="",
    labels=LabelEvidence(n_labelled=200, n_served=150, n_llm_better=3, at_random=True, differs_limit=0.2),
)


def test_labels_go_to_a_file_and_come_back_with_their_certificate() -> None:
    assert decode(encode(CERTIFICATE), Certificate) == CERTIFICATE
    assert LabelEvidence(n_labelled=1, n_served=0).differs_limit == 1.0, (
        "nothing seen, nothing held against a route"
    )
