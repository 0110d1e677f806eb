"""Training a specialist compared with a plain fine-tuning loop, in one run: `python -m benchmarks.training --json OUT`.

The task is the demo's extraction job: a customer's letter under a long fixed prompt, four fields as JSON. Every recipe
starts from the same model, trains on the same letters for the same time, and is then judged by the loss of the values
(not of keys and braces) on the same unseen letters, so that speed and what it buys stand side by side.
"""

from __future__ import annotations

import json
import random
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from deputize.core.contracts import agree
from deputize.core.errors import DeputizeError
from deputize.core.records import Contract, Field
from deputize.demo import prompts, world
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.torch_runtime import device_for, has_fast_bf16, torch_module
from deputize.stages.finetune import trainer
from deputize.stages.finetune.encode import encode_for_decoder
from deputize.stages.finetune.examples import TrainingExample

FIELDS = ("order_id", "product", "issue_date", "email")
CONTRACT = Contract(kind="json", fields=[Field(name=name, type="value") for name in FIELDS])
MODEL = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Measured:
    """What one recipe did in its time."""

    recipe: str
    tokens_per_example: float
    tokens_per_s: float
    examples_per_s: float
    epochs: float
    right: float
    """Share of unseen letters of which every field was read right."""


def letters(n: int, seed: int, start: int = 0) -> list[TrainingExample]:
    """Letters and what is in them."""
    out = []
    for index in range(start, start + n):
        ticket = world.ticket(seed, index)
        answer = {
            "order_id": ticket.order_id,
            "product": ticket.product,
            "issue_date": ticket.issue_date,
            "email": ticket.email if ticket.gives_email else None,
        }
        out.append(TrainingExample(f"{index}", ticket.text, answer, 1.0))
    return out


def plain_loop(
    base: LanguageModel,
    examples: list[TrainingExample],
    seconds: float,
    seed: int,
    *,
    pruned: bool,
    clock: Callable[[], float],
) -> tuple[int, int]:
    """What a generic fine-tuner does: whole JSON as target, random batches, logits at every position, dropout.

    Returns:
        (tokens, examples) trained on.
    """
    torch = torch_module()
    torch.manual_seed(seed)
    base.new_adapter(
        "plain", {**trainer.adapter_settings(base, trainer.TrainingSettings()), "lora_dropout": 0.05}
    )
    weights = [p for _, p in base.adapter_parameters("plain")]
    for p in weights:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    rows = []
    for example in examples:
        body = example.text if pruned else f"{prompts.EXTRACT_HEAD}\n{example.text}\n\n{prompts.EXTRACT_TAIL}"
        prompt = base.ids(base.frame.before + body + base.frame.after)
        rows.append((prompt, [*base.ids(json.dumps(example.answer)), base.tokenizer.eos_token_id]))
    rng = random.Random(seed)
    n_tokens = n_examples = 0
    base.lm.train()
    end = clock() + seconds
    while clock() < end:
        batch = rng.sample(rows, 4)
        longest = max(len(p) + len(t) for p, t in batch)
        ids = torch.full((len(batch), longest), base.pad)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for b, (prompt, target) in enumerate(batch):
            n = len(prompt) + len(target)
            ids[b, :n] = torch.tensor(prompt + target)
            labels[b, len(prompt) : n] = torch.tensor(target)
            mask[b, :n] = 1
        ids, labels, mask = (x.to(base.device) for x in (ids, labels, mask))
        base.lm(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        n_tokens += int(mask.sum())
        n_examples += len(batch)
    base.lm.eval()
    return n_tokens, n_examples


def measure_plain(
    path: Path,
    examples: list[TrainingExample],
    fresh: list[TrainingExample],
    seconds: float,
    seed: int,
    *,
    pruned: bool,
) -> Measured:
    """A plain loop, then the same letters read by plain decoding of the whole JSON."""
    base = LanguageModel(path, device_for(), "fp32")
    n_tokens, n_examples = plain_loop(base, examples, seconds, seed, pruned=pruned, clock=time.monotonic)
    right = []
    torch = torch_module()
    for example in fresh:
        body = example.text if pruned else f"{prompts.EXTRACT_HEAD}\n{example.text}\n\n{prompts.EXTRACT_TAIL}"
        ids = torch.tensor([base.ids(base.frame.before + body + base.frame.after)], device=base.device)
        with torch.inference_mode():
            out = base.lm.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=96,
                do_sample=False,
                pad_token_id=base.pad,
            )
        try:
            answer = json.loads(base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
        except ValueError:
            answer = None
        right.append(isinstance(answer, dict) and agree(answer, example.answer, CONTRACT))
    name = f"plain loop: fp32, dropout, all logits, whole JSON, {'pruned' if pruned else 'whole'} prompt"
    return _row(name, n_tokens, n_examples, seconds, len(examples), float(np.mean(right)))


def measure_ours(
    path: Path,
    examples: list[TrainingExample],
    fresh: list[TrainingExample],
    seconds: float,
    seed: int,
    *,
    layers: float,
) -> Measured:
    """Our recipe for the same time."""
    device = device_for()
    base = LanguageModel(path, device, "bf16" if has_fast_bf16(device) else "fp32")
    schema = learn_schema(CONTRACT, [x.answer for x in examples])
    rows = [r for r in encode_for_decoder(base, examples, schema, 448) if r is not None]
    torch_module().manual_seed(seed)
    settings = replace(trainer.TrainingSettings(), layers=layers, epochs=1000, patience=1000)
    base.new_adapter("ours", trainer.adapter_settings(base, settings))
    tuning = trainer.Trainer(base, "ours", settings, rows, [], [], seed=seed, clock=time.monotonic)
    tuning.run(seconds, None, lambda *a: None, "")
    predictions = DecoderPredictor(base, "ours", schema, 448, 96).predict([x.text for x in fresh])
    right = [agree(r.answer, x.answer, CONTRACT) for r, x in zip(predictions, fresh, strict=True)]
    n_examples = round(tuning.n_tokens / np.mean([len(r) for r in rows]))
    name = f"ours: {base.dtype}, values only, {'all layers' if layers == 1 else f'upper {layers:.0%} of the layers'}"
    return _row(name, tuning.n_tokens, n_examples, tuning.busy_s, len(examples), float(np.mean(right)))


def _row(
    name: str, n_tokens: int, n_examples: int, seconds: float, n_training_examples: int, right: float
) -> Measured:
    return Measured(
        name,
        n_tokens / max(1, n_examples),
        n_tokens / seconds,
        n_examples / seconds,
        n_examples / n_training_examples,
        right,
    )


def main(argv: list[str] | None = None) -> int:
    parser = table.arguments(__doc__ or "")
    parser.add_argument(
        "--seconds", type=float, default=90.0, help="training time of each recipe (default 90)"
    )
    parser.add_argument("--examples", type=int, default=120, help="letters to learn from (default 120)")
    parser.add_argument("--unseen", type=int, default=40, help="letters to be judged on (default 40)")
    parser.add_argument("--model", default=MODEL)
    given = parser.parse_args(argv)
    try:
        path = catalogue.model_path(given.model, models_path())
    except DeputizeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    warnings.simplefilter("ignore")
    examples, fresh = letters(given.examples, given.seed), letters(given.unseen, given.seed, 10_000)
    rows = []
    for measure, settings in (
        (measure_plain, {"pruned": False}),
        (measure_plain, {"pruned": True}),
        (measure_ours, {"layers": 1.0}),
        (measure_ours, {"layers": 0.5}),
    ):
        rows.append(measure(path, examples, fresh, given.seconds, given.seed, **settings))
        print(f"{rows[-1].recipe}: {rows[-1].examples_per_s:.2f} examples/s", file=sys.stderr)
    first = rows[0].examples_per_s
    shown: list[dict[str, Any]] = [
        {
            "recipe": m.recipe,
            "tokens/example": m.tokens_per_example,
            "tokens/s": m.tokens_per_s,
            "examples/s": m.examples_per_s,
            "ratio": m.examples_per_s / first,
            "epochs": m.epochs,
            "all fields right": m.right,
        }
        for m in rows
    ]
    table.show(f"{given.model}, {given.examples} letters, {given.seconds:.0f} s of training each", shown)
    table.save(given.json, "training", {"model": given.model, "seconds": given.seconds, "rows": shown})
    return 0


if __name__ == "__main__":
    sys.exit(main())
