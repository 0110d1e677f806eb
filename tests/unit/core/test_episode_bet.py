"""How whole episodes were tested goes to a file with its certificate."""

from __future__ import annotations

from deputize.core.episode_bet import EpisodeBet
from deputize.core.records import Certificate, decode, encode


def test_a_bet_goes_to_a_file_and_comes_back_with_its_certificate() -> None:
    certificate = Certificate(
        id="c",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=600,
        threshold=0.8,
        share_served=0.7,
        p_value=0.01,
        claim="",
        episodes=EpisodeBet(stake=0.9, start=0.95, largest=6, n_episodes=100, not_evaluated=[3, 3]),
    )
    assert decode(encode(certificate), Certificate) == certificate
