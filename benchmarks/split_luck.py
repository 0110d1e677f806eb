"""Are the held-out calls of a seed harder than its calibration calls? `python -m benchmarks.split_luck
../shared/data/intent_clinc150.jsonl.gz`.

A linear SVM of scikit-learn, which knows nothing of deputize, on the splits that deputize draws: trained on train, a
threshold on its margin that lets so many errors of calibration pass, and the errors on the held-out calls at it.
Where the splits are exchangeable, `k` errors among n calibration calls give (k + 1) m / n among m held-out ones at
the mean over seeds. Seeds on which a specialist of ours and this one both have more were unlucky; a fault would show
on all.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np

from deputize.core.records import Call
from deputize.stages.curate.split import assign_splits

SHARES = (20_700, 500, 1_500, 1_000)
"""What `deputize convert --epsilon .02` gives train, validation, calibration and test of these 23,700 calls."""
ERRORS = (8, 20)
"""Of 1,500, the most that a test at .01 and at .02 lets pass at delta .05."""


def held_out_errors(path: Path, seed: int) -> dict[str, float]:
    """Errors on held-out calls at the thresholds that calibration gives, and accuracies."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    calls = [Call(id=row["id"], agent=row["agent"], messages=[], response={}) for row in rows]
    split = assign_splits(calls, {c.id: c.id for c in calls}, SHARES, seed)
    place = np.array([split[c.id] for c in calls])
    answers = np.array([row["response"]["content"] for row in rows])
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    x_NF = words.fit_transform([row["messages"][-1]["content"] for row in rows])
    model = LinearSVC(C=0.5, tol=1e-2).fit(x_NF[place == "train"], answers[place == "train"])

    def asked(name: str) -> tuple[np.ndarray, np.ndarray]:
        score_NC = model.decision_function(x_NF[place == name])
        top_N2 = np.sort(score_NC, axis=1)[:, -2:]
        return top_N2[:, 1] - top_N2[:, 0], model.classes_[score_NC.argmax(1)] != answers[place == name]

    (margin, wrong), (held_margin, held_wrong) = asked("calibration"), asked("test")
    order = np.argsort(-margin)
    found = {
        "seed": seed,
        "accuracy calibration": 1 - wrong.mean(),
        "accuracy held out": 1 - held_wrong.mean(),
    }
    for k in ERRORS:
        last = np.flatnonzero(np.cumsum(wrong[order]) <= k)[-1]
        found[f"errors at {k}"] = int(held_wrong[held_margin >= margin[order][last]].sum())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="intent_clinc150.jsonl.gz")
    parser.add_argument("--seeds", type=int, default=24)
    given = parser.parse_args()
    found = []
    for seed in range(given.seeds):
        found.append(held_out_errors(given.log, seed))
        print(json.dumps({key: round(float(value), 4) for key, value in found[-1].items()}), flush=True)
    for k in ERRORS:
        expected = (k + 1) * SHARES[3] / SHARES[2]
        print(
            f"{k} errors on calibration: {np.mean([f[f'errors at {k}'] for f in found]):.1f} held out, {expected:.1f} expected"
        )


if __name__ == "__main__":
    main()
