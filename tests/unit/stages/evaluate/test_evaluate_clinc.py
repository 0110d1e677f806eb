"""Evaluation on recorded traffic: a linear model on CLINC150 earns a route that serves most calls."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.records import Contract, Example, Prediction, Request, Split

LOG = Path(__file__).parents[4] / "../shared/data/intent_clinc150.jsonl.gz"


class Linear:
    """TF-IDF and logistic regression over the last message."""

    def __init__(self, texts: list[str], labels: list[str]) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=12_000)
        self.model = make_pipeline(vectors, LogisticRegression(C=20, max_iter=40, tol=1e-4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(texts, labels)

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        rows = self.model.predict_proba([r.messages[-1]["content"] for r in requests])
        return [
            Prediction(answer=str(self.model.classes_[row.argmax()]), confidence=float(row.max()))
            for row in rows
        ]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not LOG.exists(), reason="needs ../shared/data/intent_clinc150.jsonl.gz")
def test_a_fit_linear_predictor_serves_most_of_clinc150(world: Callable[..., Any]) -> None:
    with gzip.open(LOG, "rt", encoding="utf-8") as lines:
        log = [json.loads(line) for line in lines]
    labels = sorted({row["response"]["content"] for row in log})
    w = world(n_calls=100, methods={"linear": 0.0})
    shares: dict[Split, int] = {"train": 9, "validation": 2, "calibration": 5, "test": 4}
    sides = [side for side, n in shares.items() for _ in range(n)]
    examples = [
        Example(
            call_id=row["id"],
            request=Request(messages=row["messages"]),
            response=row["response"],
            audience="code",
            site="s",
            episode=row["run_id"],
            group=row["run_id"],
            split=sides[i * 7 % 20],
            model=row["model"],
        )
        for i, row in enumerate(log)
    ]
    train = [e for e in examples if e.split == "train"]
    linear_model = Linear(
        [e.request.messages[-1]["content"] for e in train], [e.response["content"] for e in train]
    )
    contract = Contract(kind="label", labels=labels)
    w.curated = msgspec.structs.replace(w.curated, examples=examples, n_code_calls=len(examples))
    w.discovered = msgspec.structs.replace(
        w.discovered,
        tasks=[msgspec.structs.replace(w.discovered.tasks[0], contract=contract)],
        assignment={e.call_id: "t1" for e in examples},
    )
    w.predictors = dict.fromkeys(w.predictors, linear_model)
    (result,) = w.run()
    n_calibration = sum(e.split == "calibration" for e in examples)
    assert result.certificate is not None and result.certificate.n_calibration == n_calibration
    assert result.held_out.share_served > 0.6
    assert result.held_out.loss_difference_interval[0] <= 0.02
