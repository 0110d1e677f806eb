"""Fine-tuning beside TRL's SFTTrainer with PEFT in one run: `python -m benchmarks.training_peers --json OUT`.

Same model, rows of tokens, bf16, adapters, batch, learning rate and number of steps; each recipe is a process of its
own, and rounds alternate between them. A recipe is timed from the end of its first step, which warms up and compiles;
what that took stands beside it. The loss is that of rows nobody has seen, mean over the tokens of their answers,
computed in this process from each saved adapter. TRL needs `make trl`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.training import MODEL
from deputize.core.errors import DeputizeError
from deputize.core.records import Contract
from deputize.demo import world
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune import trainer
from deputize.stages.finetune.encode import EncodedExample, encode_for_decoder
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.hidden_states import states_of

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path(os.environ.get("DEPUTIZE_TRL_PYTHON") or ROOT / ".env-trl" / "bin" / "python")
RECIPES = {
    "ours": {"layers": 0.5},
    "ours, all layers": {"layers": 1.0},
    "TRL": {"layers": 1.0, "checkpointing": False},
    "TRL as shipped (checkpointing)": {"layers": 1.0, "checkpointing": True},
    "TRL, upper half": {"layers": 0.5, "checkpointing": False},
}
LR, BATCH = 1e-3, 16


def lines(base: LanguageModel, n: int, tokens: int, seed: int) -> list[EncodedExample]:
    """Letters cut to about so many tokens with their answer, which is the line that a clerk files them under."""
    examples = []
    for index in range(n):
        ticket = world.ticket(seed, index)
        answer = f"{ticket.order_id} | {ticket.product} | {ticket.issue_date}"
        examples.append(TrainingExample(str(index), ticket.text, answer, 1.0))
    schema = learn_schema(Contract(kind="text"), [x.answer for x in examples])
    rows = encode_for_decoder(base, examples, schema, tokens - 24)
    return [row for row in rows if row is not None]


def held_out_loss(base: LanguageModel, rows: list[EncodedExample], adapter: Path) -> float:
    """Mean loss over the tokens of the answers, in nats."""
    torch = torch_module()
    base.load_adapter("held", adapter)
    base.use("held")
    losses = []
    with torch.no_grad():
        for at in range(0, len(rows), BATCH):
            part = rows[at : at + BATCH]
            found = trainer.answer_loss(base, [], trainer.TrainingSettings()).token_losses(
                states_of(base, part), part
            )
            losses += found.losses.tolist()
    base.drop_adapter("held")
    return statistics.fmean(losses)


def train_ours(job: dict[str, Any]) -> dict[str, float]:
    """Our recipe over the job's rows, in this process."""
    torch = torch_module()
    torch.set_num_threads(job["threads"])
    base = LanguageModel(Path(job["model"]), "cpu", "bf16")
    rows = lines(base, job["n"], job["tokens"], job["seed"])
    settings = replace(
        trainer.TrainingSettings(),
        layers=job["layers"],
        epochs=job["epochs"],
        batch=BATCH,
        lr=LR,
        truncate_loss=False,
    )
    torch.manual_seed(job["seed"])
    base.new_adapter("ours", trainer.adapter_settings(base, settings))
    clocks = [(time.perf_counter(), time.process_time(), 0)]

    def step(what: str, done: int, total: int | None = None) -> None:
        clocks.append((time.perf_counter(), time.process_time(), tuning.n_tokens))

    tuning = trainer.Trainer(base, "ours", settings, rows, [], [], seed=job["seed"], clock=time.monotonic)
    tuning.run(1e9, None, step, "")
    base.save_adapter("ours", Path(job["adapter"]))
    (began, began_cpu, before), (ended, ended_cpu, n_tokens) = clocks[1], clocks[-1]
    return {
        "tokens": n_tokens - before,
        "wall_s": ended - began,
        "cpu_s": ended_cpu - began_cpu,
        "first_s": began - clocks[0][0],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(name: str, job: dict[str, Any], rows: list[EncodedExample], folder: Path) -> dict[str, Any]:
    """One recipe in a process of its own."""
    job = {**job, **RECIPES[name], "adapter": str(folder / "adapter"), "found": str(folder / "found.json")}
    folder.mkdir(parents=True)
    env = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "HF_HUB_OFFLINE": "1"}
    path = folder / "job.json"
    if name.startswith("ours"):
        command = [sys.executable, "-m", "benchmarks.training_peers", "--job", str(path)]
    else:
        command = [str(PYTHON), str(ROOT / "benchmarks" / "trl_peer.py"), str(path)]
        job["rows"] = [
            {"ids": row.ids, "mask": [int(at >= row.n_prompt) for at in range(len(row))]} for row in rows
        ]
        job["out"] = str(folder / "trainer")
        job["steps"] = -(-len(rows) // BATCH) * job["epochs"]
    path.write_text(json.dumps(job), "utf-8")
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeputizeError(f"{name} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(Path(job["found"]).read_text("utf-8"))
    return {"recipe": name, **found}


def lora_of(base: LanguageModel, layers: float) -> dict[str, Any]:
    """The adapter's settings, as peft takes them."""
    return trainer.adapter_settings(base, replace(trainer.TrainingSettings(), layers=layers))


def rounds(given: Any, path: Path, scratch: Path) -> list[dict[str, Any]]:
    """Every recipe in every round, in an order that changes from round to round."""
    base = LanguageModel(path, "cpu", "bf16")
    rows = lines(base, given.examples, given.tokens, given.seed)
    unseen = lines(base, given.unseen, given.tokens, given.seed + 1)
    job = {
        "model": str(path),
        "n": given.examples,
        "tokens": given.tokens,
        "epochs": given.epochs,
        "batch": BATCH,
        "lr": LR,
        "threads": given.threads,
        "seed": given.seed,
    }
    found = []
    for number in range(given.rounds):
        names = list(given.recipes)
        random.Random(number).shuffle(names)
        for name in names:
            folder = scratch / f"{number}-{name.replace(' ', '-')}"
            one = measure(name, {**job, "lora": lora_of(base, RECIPES[name]["layers"])}, rows, folder)
            one |= {"loss": held_out_loss(base, unseen, folder / "adapter"), "round": number}
            print(
                f"round {number}, {name}: {one['tokens'] / one['wall_s']:.0f} tokens/s, "
                f"{one['tokens'] / one['cpu_s']:.0f} a processor second, loss {one['loss']:.3f}",
                flush=True,
            )
            found.append(one)
    return found


def summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a recipe: medians over the rounds, and ratios to TRL of the same round."""
    out = []
    first = {one["round"]: one for one in found if one["recipe"] == "TRL"}
    for name in dict.fromkeys(one["recipe"] for one in found):
        mine = [one for one in found if one["recipe"] == name]
        row: dict[str, Any] = {"recipe": name}
        for key, of in (("tokens/s", "wall_s"), ("tokens a processor s", "cpu_s")):
            row[key] = statistics.median(one["tokens"] / one[of] for one in mine)
        paired = [(one, first[one["round"]]) for one in mine if one["round"] in first]
        for key, of in (("to TRL", "wall_s"), ("to TRL, processor", "cpu_s")):
            ratios = [a["tokens"] / a[of] / (b["tokens"] / b[of]) for a, b in paired]
            row[key] = statistics.median(ratios) if ratios else None
        row["first step s"] = statistics.median(one.get("first_s", 0.0) for one in mine)
        row["peak MB"] = max(one["peak_mb"] for one in mine)
        row["unseen loss"] = statistics.median(one["loss"] for one in mine)
        out.append(row)
    return out


def main(argv: list[str] | None = None) -> int:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=120, help="of an example, at most (default 120)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--unseen", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES)[:3])
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--job", type=Path, default=None, help="used within: one recipe of ours, from a file")
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    if given.job is not None:
        job = json.loads(given.job.read_text("utf-8"))
        Path(job["found"]).write_text(json.dumps(train_ours(job)), "utf-8")
        return 0
    if any(name.startswith("TRL") for name in given.recipes) and not PYTHON.exists():
        print("TRL is not here; make trl", file=sys.stderr)
        return 1
    try:
        path = catalogue.model_path(given.model, models_path())
        with tempfile.TemporaryDirectory() as scratch:
            found = rounds(given, path, Path(scratch))
    except DeputizeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    table.show(
        f"{given.examples} examples of {given.tokens} tokens, {given.epochs} epochs, {given.threads} threads",
        summary(found),
    )
    table.save(given.json, "training_peers", {"model": given.model, "rows": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
