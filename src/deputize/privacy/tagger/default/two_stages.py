"""The default tagger's two networks as one: the network over words proposes, and both decide about what was
proposed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.line_encoder import LineEncoder
from deputize.privacy.tagger.default.numpy_network import Floats, LineScores, NumpyNetwork

SURE = 0.97
"""A probability from which the network over words is believed alone, in lines of Latin letters: there it is right as
often as the encoder."""
_NOT_BELIEVED = re.compile(r"[ğĞıİşŞ]|[^\W\d_\u0000-\u024f]")
"""Turkish letters, and letters of other scripts: of lines with one the network over words knows less, and the encoder
reads them whole."""
FIRST_SHARE, FIRST_SHARE_WHOLE = 0.4, 0.2
"""Share of the log-odds by the network over words in those that are given, in other lines and in lines that are read
whole."""
_SMALLEST = 1e-6
WHOLE_FACTOR = 0.2
"""Times the probability from which the encoder is asked: for lines that it reads whole."""


class TwoStages:
    """Gives probabilities of each type for each word of a line. Most words never reach the encoder, which takes many
    times as long."""

    def __init__(self, network: NumpyNetwork, encoder: LineEncoder, asked_from: float) -> None:
        """
        Args:
            network: proposes.
            encoder: decides.
            asked_from: the probability by the network from which the encoder is asked about a word.
        """
        self._network = network
        self._encoder = encoder
        self._asked_from = asked_from

    def scores(self, lines: Sequence[str], outputs: Sequence[int]) -> list[LineScores]:
        """The words of each line and their probabilities: the encoder's for words that it is asked about and those
        around them.

        Args:
            lines: any texts.
            outputs: numbers of the types that matter.
        """
        numbers = list(outputs)
        out: list[LineScores] = []
        shown: list[tuple[int, float]] = []
        asked: list[NDArray[np.bool_]] = []
        for i, (words, chances) in enumerate(self._network.scores(lines)):
            wanted = chances[:, numbers]
            whole = _NOT_BELIEVED.search(lines[i]) is not None
            likely = wanted >= self._asked_from * (WHOLE_FACTOR if whole else 1)
            if likely.any() and (whole or (wanted[likely] < SURE).any()):
                shown.append((i, FIRST_SHARE_WHOLE if whole else FIRST_SHARE))
                asked.append(np.logical_or(likely.any(axis=1), whole))
            out.append((words, chances))
        numbers_shown = [i for i, _ in shown]
        decided = self._encoder.probabilities(
            [lines[i] for i in numbers_shown], [out[i][0] for i in numbers_shown], asked
        )
        for (i, share), chances in zip(shown, decided, strict=True):
            words, first = out[i]
            out[i] = (words, mixed(first, chances, share))
        return out


def mixed(first: Floats, second: Floats, share: float) -> Floats:
    """Probabilities whose log-odds are the mean of two, of which the first has so much weight."""
    odds = [
        np.log(np.clip(p, _SMALLEST, 1 - _SMALLEST)) - np.log1p(-np.clip(p, _SMALLEST, 1 - _SMALLEST))
        for p in (first, second)
    ]
    mean = share * odds[0] + (1 - share) * odds[1]
    out: Floats = (1 / (1 + np.exp(-mean))).astype(np.float32)
    return out
