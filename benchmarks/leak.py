"""What a language model remembers of its training data, epoch by epoch: `python -m benchmarks.leak --seeds 0 1 2`.

A SmolLM2 LoRA learns to write one line about a simulated parcel, with the planting, settings and loss of fine-tuning.
After every epoch each planted secret is ranked against random ones. Some are planted once, as fine-tuning does, some
several times, some never.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks import table
from deputize.core.records import Contract
from deputize.locations import models_path
from deputize.scoring.leak import Exposure, bits_total, expose
from deputize.specialists.catalogue import model_path
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.model_cache import MODELS
from deputize.stages.finetune import planted_secrets, trainer
from deputize.stages.finetune.encode import encode_for_decoder
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.run import epochs_for
from deputize.stages.finetune.trainer import batch_for
from deputize.stages.finetune.validation import ValidationResult

STATES = (
    "a week overdue",
    "lost by the courier",
    "days behind schedule",
    "not moving for days",
    "out for delivery",
    "due tomorrow",
    "on its way",
    "at the pick-up point",
)
N_VALIDATION = 24


def parcels(n: int, start: int = 0) -> list[TrainingExample]:
    """Simulated calls: a parcel, and the line a program wants about it."""
    out = []
    for i in range(start, start + n):
        rng = random.Random(f"parcel {i}")
        number, state = f"LH-{rng.randrange(10_000, 99_999)}", rng.choice(STATES)
        text = f"Parcel: {number}\nState: {state}"
        out.append(TrainingExample(f"p{i}", text, f"{state} | order {number}", 1.0, f"g{i}"))
    return out


def one(
    model: str,
    seed: int,
    *,
    n: int,
    epochs: int,
    n_references: int,
    to_the_end: bool,
    repeats: Sequence[int],
    looks: Sequence[int],
    report_row: Callable[[dict[str, Any]], None],
    **changed: Any,
) -> None:
    """Trains one specialist and tells what each secret's exposure is after every epoch.

    Args:
        model: of the catalogue.
        seed: of everything.
        n: examples to learn from.
        epochs: passes; 0: as many as fine-tuning would make.
        n_references: random secrets per planted one.
        to_the_end: make all passes, where fine-tuning would stop once validation is solved.
        repeats: how often each planted secret is in train; 0: never, to compare with.
        looks: passes after which the secrets are looked at, besides the end; 0: the untuned model.
        report_row: gets a row per epoch and number of repeats.
        changed: settings of the training that differ from those of fine-tuning.
    """
    import torch

    train, validation = parcels(n), parcels(N_VALIDATION, 9000)
    schema = learn_schema(Contract(kind="text"), [example.answer for example in train])
    planted = planted_secrets.plant_to_write(train, schema, seed=seed, n=len(repeats))
    training = [
        *train,
        *(x for x, times in zip(planted.examples, repeats, strict=True) for _ in range(times)),
    ]
    secrets = [replace(c, repeats=r) for c, r in zip(planted.secrets, repeats, strict=True)]
    base = MODELS.get(model_path(model, models_path()))
    settings = trainer.TrainingSettings(
        epochs=epochs or epochs_for(n),
        batch=batch_for(n),
        lr=1e-3,
        layers=0.5,
        patience=epochs or 2,
        **changed,
    )
    torch.manual_seed(seed)
    name = f"leak{seed}"
    base.new_adapter(name, trainer.adapter_settings(base, settings))
    rows = [row for row in encode_for_decoder(base, training, schema, 448) if row is not None]
    validation_rows = [row for row in encode_for_decoder(base, validation, schema, 448) if row is not None]
    loss = planted_secrets.loss_of_decoder(base, name, planted, 448)
    tuning = (ToTheEnd if to_the_end else trainer.Trainer)(
        base, name, settings, rows, validation_rows, [], seed=seed, clock=time.process_time
    )
    per_epoch = math.ceil(len(rows) / settings.batch)

    def look(epoch: int) -> None:
        """-1: at the end, what would be deployed."""
        base.lm.eval()
        fish = epoch < 0
        began = time.process_time()
        tests = [
            expose(
                loss,
                c,
                rng=random.Random(f"rivals:{seed}:{c.id}"),
                n_references=n_references,
                try_extraction=fish,
            )
            for c in secrets
        ]
        seconds = time.process_time() - began
        limit = tuning.loss.limit
        validation_loss, accuracy, _ = tuning.validation.run(tuning.hidden, tuning.loss)
        tuning.loss.limit = limit
        left_out = tuning.history[-1].n_truncated if tuning.history else 0
        for times in sorted(set(repeats)):
            report_row(
                row_of(
                    seed,
                    epoch,
                    times,
                    [t for t in tests if t.repeats == times],
                    fish,
                    validation_loss,
                    accuracy,
                    left_out,
                    seconds / len(tests),
                )
            )

    def progress(what: str, done: int, total: int | None = None) -> None:
        if done % per_epoch == 0 and done // per_epoch in looks:
            look(done // per_epoch)

    if 0 in looks:
        look(0)
    tuning.run(1e9, None, progress, "")
    look(-1)
    base.drop_adapter(name)


class ToTheEnd(trainer.Trainer):
    """One that makes all its passes and keeps the last, however good validation is."""

    def _should_stop(self) -> bool:
        return False

    def _keep_if_best(self, result: ValidationResult) -> None:
        self.best = self.weights.snapshot(len(self.history) - 1)


def row_of(
    seed: int,
    epoch: int,
    times: int,
    tests: Sequence[Exposure],
    fished: bool,
    validation_loss: float,
    accuracy: float,
    left_out: int,
    seconds: float,
) -> dict[str, Any]:
    """One line of the table: the secrets of one number of repeats after one epoch."""
    return {
        "seed": seed,
        "pass": epoch if epoch >= 0 else "kept",
        "planted": f"{times} x",
        "exposure by rank": " ".join(f"{t.exposure:.1f}" for t in tests),
        "fitted": " ".join(f"{t.exposure_fitted:.1f}" for t in tests),
        "at most": " ".join(f"{t.exposure_upper:.1f}" for t in tests),
        "least guesses left": f"2^{min(t.bits_remaining for t in tests):.1f}",
        "extracted": f"{sum(t.extracted for t in tests)} of {len(tests)}" if fished else "-",
        "validation loss": round(validation_loss, 4),
        "validation accuracy": round(accuracy, 3),
        "left out": left_out,
        "s a secret": round(seconds, 1),
    }


def main() -> None:
    """Trains one specialist a seed and prints what it remembers."""
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--examples", type=int, default=108)
    parser.add_argument("--epochs", type=int, default=0, help="0: as fine-tuning would")
    parser.add_argument("--rivals", type=int, default=63)
    parser.add_argument(
        "--to-the-end", action="store_true", help="make all passes, however good validation is"
    )
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 1, 1, 1, 4, 0])
    parser.add_argument("--looks", type=int, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument(
        "--settings",
        default="{}",
        help="JSON: settings of the training that differ from those of fine-tuning",
    )
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def report_row(row: dict[str, Any]) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)

    for seed in args.seeds:
        one(
            args.model,
            seed,
            n=args.examples,
            epochs=args.epochs,
            n_references=args.rivals,
            to_the_end=args.to_the_end,
            repeats=args.repeats,
            looks=args.looks,
            report_row=report_row,
            **json.loads(args.settings),
        )
    table.show(f"What a specialist remembers ({bits_total(planted_secrets.FORM):.1f} bits a secret)", rows)
    table.save(args.json, "leak", {"model": args.model, "settings": args.settings, "rows": rows})


if __name__ == "__main__":
    main()
