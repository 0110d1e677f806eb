"""Function calling with lists that differ from call to call (BFCL), as one task: what the specialist chooses, copies
and may serve.

Each repeated sample of the LLM becomes an episode of its own (in the log they share one, which reads as votes to be
counted), and replies without a
call are declared to be for code: "none fits" is an answer. `--by cluster` puts all prompts of one set of tools on one
side of the splits, so that the specialist is measured, and may be certified, on tools that it was never trained on.

    python -m benchmarks.listed_tools ../shared/data/bfcl_live_gptoss.jsonl.gz --by run_id
    python -m benchmarks.listed_tools LOG --method listed --method listed_lora --minutes 120   # what is tuned shares
    the minutes
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deputize.core.artifacts import Curated, Discovered, Finetuned, Specialist
from deputize.core.config import Convert
from deputize.core.contracts import action_of, agree, answer_of, text_of
from deputize.core.listed_tools import content_words, listed_tools, word_overlap
from deputize.core.records import Contract, Example
from deputize.core.task_results import Evaluated, TaskResult
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import Run, newest_state


def prepare(log: Path, out: Path, by: str, model: str, trials: int) -> int:
    """Writes the calls of a model's first trials, grouped by a field; how many there are.

    A text that is asked with several lists is kept with the first of them: the log repeats some texts with several
    lists, and all calls with one text count as one group, by whose size the calibration units would be thinned out.
    """
    n = 0
    list_of: dict[str, str] = {}
    with gzip.open(log, "rt", encoding="utf-8") as lines, out.open("w", encoding="utf-8") as file:
        for line in lines:
            row = json.loads(line)
            if model not in row["model"] or row["trial"] >= trials:
                continue
            if list_of.setdefault(text_of(row["messages"][-1]), row["run_id"]) != row["run_id"]:
                continue
            row["task_id"] = row.get(by) or row["run_id"]
            row["run_id"] = f"{row['run_id']}-{row['model']}-{row['trial']}"
            row["audience"] = "code"
            if not row["response"].get("tool_calls"):
                # the log lost these texts; an empty reply would be taken for a failed one
                row["response"]["content"] = (
                    row["response"].get("content") or "(a text that was not recorded)"
                )
            file.write(json.dumps(row) + "\n")
            n += 1
    return n


def overlap_accuracy(examples: Sequence[Example], contract: Contract) -> tuple[float, int]:
    """(share of the single calls whose tool shares most words with the request, how many there are)."""
    hits, n = 0, 0
    for example in examples:
        answer = answer_of(example.response, contract)
        if not isinstance(answer, list) or len(answer) != 1:
            continue
        tools = listed_tools(example.request)
        words = content_words("\n".join(map(text_of, example.request.messages)))
        scores = [word_overlap(words, tool, tools) for tool in tools]
        n += 1
        hits += bool(tools) and tools[scores.index(max(scores))].name == answer[0]["name"]
    return hits / max(n, 1), n


def self_agreement(examples: Sequence[Example], contract: Contract) -> tuple[float, float]:
    """(share of pairs of answers to one request that agree, the same of the tool alone)."""
    by_request: dict[str, list[object]] = {}
    for example in examples:
        key = json.dumps([example.request.messages, example.request.tools], sort_keys=True)
        by_request.setdefault(key, []).append(answer_of(example.response, contract))
    pairs = [(a[0], b) for a in by_request.values() for b in a[1:] if a[0] is not None and b is not None]
    same = sum(agree(a, b, contract) for a, b in pairs)
    return same / max(len(pairs), 1), sum(action_of(a) == action_of(b) for a, b in pairs) / max(len(pairs), 1)


def show(result: TaskResult, name: str, examples: Sequence[Example], contract: Contract) -> None:
    """Prints what came out of one task."""
    print(f"\n## {name}: {len(examples)} calls of {len({e.group for e in examples})} groups")
    print(
        f"certificate: {result.certificate.claim if result.certificate else 'refused: ' + result.refusal_reason}"
    )
    test = [e for e in examples if e.split == "test"]
    overlap, n = overlap_accuracy(test, contract)
    whole, tool = self_agreement(examples, contract)
    print(
        f"word overlap, the tool alone: {overlap:.3f} of {n} single calls; the LLM with itself: call {whole:.3f}, tool {tool:.3f}"
    )
    for row in result.methods:
        servable = {eps: share for eps, share in row.test_coverage.items() if share is not None}
        print(
            f"{row.method}: train {row.n_train}, test {row.n_test}, agreement {row.test_accuracy}, decision {row.action_accuracy}, "
            f"servable {servable}, {row.seconds_per_call} s a call, trained in {row.train_s} s"
        )
    for at in result.by_epsilon:
        print(
            f"epsilon {at.epsilon}: {'certified' if at.certified else at.reason}; share {at.share_certified:.3f}, held out "
            f"{at.share_held_out:.3f}, loss {at.loss_held_out}, hindsight {at.oracle_coverage:.3f}, units {at.n_units}"
        )
    print(f"the decision alone: {result.evaluation.decision_alone}")


def show_training(specialist: Specialist) -> None:
    """Prints how far the training of a specialist came."""
    training = specialist.settings.get("training", {})
    epochs = [
        f"{e['number']}: train {e['train_loss']:.3f}, validation {e['validation_loss']:.3f}, {e['seconds']:.0f} s"
        for e in training.get("history", [])
    ]
    print(
        f"{specialist.id}: {specialist.n_train} examples, {specialist.train_s:.0f} s, {specialist.tokens_per_s} tokens/s, "
        f"{training.get('steps')} steps; validation right {specialist.validation_accuracy}, servable "
        f"{specialist.validation_coverage}; leak {specialist.leak}; epochs {epochs}"
    )


def main() -> None:
    """Runs one log."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("--by", default="run_id", help="run_id or cluster")
    parser.add_argument("--model", default="gpt-oss-120b")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epsilon", type=float, default=0.10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, help="a new folder to keep; default: a temporary one")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--method", action="append", help="may be repeated; default: listed")
    parser.add_argument(
        "--base-model", default="SmolLM2-135M-Instruct", help="what is tuned, where something is"
    )
    given = parser.parse_args()
    config = Convert(
        epsilon=given.epsilon,
        seed=given.seed,
        minutes=given.minutes,
        methods=given.method or ["listed"],
        models=(given.base_model,),
        explore=True,
    )
    with tempfile.TemporaryDirectory() as folder, Home(given.home or Path(folder) / "home") as home:
        log = Path(folder) / "log.jsonl"
        print(f"{prepare(given.log, log, given.by, given.model, given.trials)} calls")
        began = time.monotonic()
        convert(home, config, paths=[log])
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{time.monotonic() - began:.0f} s; at most {peak_gb:.1f} GB; load {os.getloadavg()}")
        state = newest_state(home)
        assert state is not None
        run = Run(home, state)
        curated: Curated = run.load_curated()
        discovered, evaluated = run.load("cluster", Discovered), run.load("evaluate", Evaluated)
        results = {result.task_id: result for result in evaluated.results}
        print(f"{len(discovered.tasks)} tasks; in none: {discovered.unassigned}")
        for task in discovered.tasks:
            mine = [e for e in curated.examples if discovered.assignment.get(e.call_id) == task.id]
            show(results[task.id], task.name, mine, task.contract)
        finetuned = run.load("finetune", Finetuned)
        for specialist in finetuned.specialists:
            show_training(specialist)
        print(f"not trained: {finetuned.refused} {finetuned.not_needed}")


if __name__ == "__main__":
    main()
