"""S5: trains the planned rungs of every task within the time there is; a killed run goes on where it was.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S5.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deputize.core.artifacts import Curated, Discovered, Finetuned, Leak, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.contracts import agree
from deputize.core.errors import BadInput, DeputizeError
from deputize.core.progress import Progress
from deputize.core.records import Request
from deputize.core.subjects import Subjects
from deputize.specialists import catalogue
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.base import RawPrediction, TextPredictor
from deputize.specialists.card import OUT_OF_DISTRIBUTION_FILE, PredictorSettings, read_card, write_card
from deputize.specialists.closed_answers import closed
from deputize.specialists.confidence import ConfidenceCalibration, OutOfDistributionDetector, fit_calibration
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import CAREFUL, LinearPredictor, LinearSettings
from deputize.specialists.model_cache import MODELS
from deputize.specialists.pointer_predictor import PointerPredictor, fit_linear_predictor
from deputize.specialists.predictor import WritesFreeSlots
from deputize.specialists.tuned_model import ADAPTER_FOLDER, WEIGHTS_FOLDER, adapter_name, base_digest
from deputize.stages.finetune import planted_secrets, trainer
from deputize.stages.finetune.encode import EncodedExample, rows_to_choose, rows_to_write
from deputize.stages.finetune.examples import TrainingExample, TrainingSet, lessons_of

RECIPE_VERSION = 8
"""Raised when training changes, so that specialists of older code are not taken for finished."""
TUNED = ("lora", "dora", "qlora", "full")
MAX_TOKENS = 448
"""Longest prompt in tokens while training and prediction; longer ones lose their middle."""
READ_HEAD, READ_WRITTEN = 0.6, 1.8
"""What S6 reads of a task, in epochs of its training."""
READING_MARGIN = 1.6
"""How much more time is kept for prediction than those epochs would take."""
MAX_DEV_READ = 256
"""Dev examples that are read for calibration."""
LEAK_SHARE, LEAK_MOST_S = 0.03, 10.0
"""Of a language model's part of the time, and at most, for looking whether it gives its planted secrets away."""


@dataclass(frozen=True)
class TrainingJob:
    """One rung of one task."""

    lessons: TrainingSet
    schema: AnswerSchema
    method: str
    folder: Path
    n_tokens: int
    """Of one epoch, estimated."""
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.lessons.task.name} ({self.method})"


def run(
    curated: Curated,
    discovered: Discovered,
    selected: Selected,
    config: Convert,
    *,
    home: Path,
    out_dir: Path,
    models_dir: Path,
    deadline_s: float,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> Finetuned:
    """Trains every rung that S4 planned, cheapest first.

    Args:
        curated: examples with their split; only train and dev are read.
        discovered: tasks and which call belongs to which.
        selected: the plan per task.
        config: of the run; seed.
        home: specialists' paths are relative to it.
        out_dir: where specialists' folders go.
        models_dir: where base models lie.
        deadline_s: seconds there are for this and for prediction what was trained (S6), which gets its part of them.
        progress: told of each step.
        clock: monotonic seconds.

    Raises:
        MissingExtra: the base model or a package is not here.
    """
    began = clock()
    out_dir.mkdir(parents=True, exist_ok=True)
    refused: dict[str, str] = {}
    jobs: list[TrainingJob] = []
    for task in discovered.tasks:
        plan = selected.plan.get(task.id, [])
        if not plan:
            continue
        lessons = lessons_of(curated, discovered.assignment, task, balance=config.balance)
        if not lessons.train:
            refused[task.id] = "no example may be learnt from"
            continue
        whose = Subjects([lesson.subject for lesson in lessons.train], config.min_origins)
        schema = learn_schema(task.contract, [lesson.answer for lesson in lessons.train], whose)
        for method in plan:
            folder = out_dir / f"{_safe(task.id)}-{method}"
            n_chars = sum(len(lesson.text) + 60 for lesson in lessons.train)
            jobs.append(
                TrainingJob(lessons, schema, method, folder, n_chars // 3, epochs_for(len(lessons.train)))
            )
    done: list[Specialist] = []
    cheap = [j for j in jobs if j.method == "linear"]
    has_cheap = {j.lessons.task.id for j in cheap}
    # a task that no cheaper rung can serve comes first: elsewhere the language model only competes, there it is all there is
    dear = sorted(
        (j for j in jobs if j.method != "linear"),
        key=lambda j: (j.lessons.task.id in has_cheap, j.n_tokens * j.epochs, j.folder.name),
    )
    for at, job in enumerate(cheap):
        progress(f"training {job.name}", at, len(cheap))
        specialist = _linear(job, config, home, models_dir, selected.base_model, clock)
        if specialist is not None:
            done.append(specialist)
    rate = _first_guess(selected.base_model, models_dir) if dear else 0.0
    alone = [j for j in dear if j.lessons.task.id not in has_cheap]
    kept_s = 0.0
    for group in (alone, dear[len(alone) :]):
        left_s = max(0.0, deadline_s - kept_s - (clock() - began))
        until = clock() + (1 - _reading_part(group)) * left_s
        for at, job in enumerate(group):
            budget_s = (until - clock()) * _part(group[at:])
            if budget_s * rate < 0.25 * job.n_tokens and not _finished(
                job, config, models_dir, selected.base_model
            ):
                refused.setdefault(
                    job.lessons.task.id,
                    f"{job.method}: {max(budget_s, 0):.0f} s are left for it, and one pass over its "
                    f"{len(job.lessons.train)} examples takes about {job.n_tokens / max(rate, 1e-9):.0f} s",
                )
                continue
            try:
                specialist = _tuned(
                    job, config, home, models_dir, selected.base_model, budget_s, progress, clock
                )
            except BadInput as error:
                refused[job.lessons.task.id] = f"{job.method}: {error}"
                continue
            rate = specialist.tokens_per_s or rate
            done.append(specialist)
            # a rung that only competes may not use up the time in which S6 certifies one that nothing replaces
            kept_s += READING_MARGIN * job.n_tokens * _read_epochs(job) / max(rate, 1e-9)
    served = {s.task_id for s in done}
    order = {task.id: n for n, task in enumerate(discovered.tasks)}
    done.sort(key=lambda s: (order[s.task_id], s.method != "linear", s.method))
    return Finetuned(specialists=done, refused={t: why for t, why in refused.items() if t not in served})


def _part(waiting: Sequence[TrainingJob]) -> float:
    """The share of the time left that the first of the waiting jobs may take, by need.

    Smaller jobs come first, so what one does not need falls to larger ones.
    """
    first = waiting[0]
    return first.n_tokens * first.epochs / max(1, sum(j.n_tokens * j.epochs for j in waiting))


def _reading_part(dear: Sequence[TrainingJob]) -> float:
    """The share of the time that S6 will need to read dev, calibration and test with what is trained here.

    Those sides together are larger than train, but are read once and without a backward pass, an answer that has to be
    written taking about three times as long as one read at a position.
    """
    trained = sum(job.n_tokens * job.epochs for job in dear)
    read = sum(job.n_tokens * _read_epochs(job) for job in dear)
    return float(np.clip(read / max(1, trained + read), 0.2, 0.5))


def _read_epochs(job: TrainingJob) -> float:
    return READ_HEAD if closed(job.schema) is not None else READ_WRITTEN


def epochs_for(n_examples: int) -> int:
    """Epochs for a task: more for few examples, three for many; a good dev ends them early."""
    return int(np.clip(round(600 / max(1, n_examples)), 3, 8))


def batch_for(n_examples: int) -> int:
    """Rows per optimiser step."""
    return 8 if n_examples < 600 else 16 if n_examples < 4000 else 32


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text)[:80]


def _first_guess(base_model: str, models_dir: Path) -> float:
    """Training tokens per second before anything is measured, from the size of the model."""
    from deputize.specialists.torch_runtime import device_for

    params = catalogue.find(base_model, models_dir).params_m * 1e6
    return (3e13 if device_for() == "cuda" else 5e10) / params


def fingerprint(job: TrainingJob, config: Convert, base_sha256: str) -> str:
    """What a specialist depends on, as one digest: equal means there is nothing to train anew."""
    parts: list[Any] = [
        RECIPE_VERSION,
        job.method,
        config.seed,
        base_sha256,
        job.epochs,
        config.min_origins,
    ]
    nameless = msgspec.structs.replace(job.lessons.task, name="")  # a new name teaches nothing new
    parts += [msgspec.json.encode(nameless).decode(), msgspec.json.encode(job.schema).decode()]
    for side in (job.lessons.train, job.lessons.dev):
        parts += [[x.call_id, x.text, x.answer, x.weight, x.subject] for x in side]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _finished(job: TrainingJob, config: Convert, models_dir: Path, base_model: str) -> Specialist | None:
    """The specialist of an earlier start of this run, where it is whole and was trained on the same."""
    try:
        card = read_card(job.folder)
    except DeputizeError:
        return None
    sha = "" if job.method == "linear" else base_digest(base_model, models_dir)
    same = card.settings.get("training", {}).get("fingerprint") == fingerprint(job, config, sha)
    if not same or not all((job.folder / name).is_file() for name in card.checksums):
        return None
    if card.task != job.lessons.task:  # renamed since
        card = msgspec.structs.replace(card, task=job.lessons.task)
        write_card(job.folder, card)
    return msgspec.structs.replace(card, trained_on=_learnt_from(job))


def _learnt_from(job: TrainingJob) -> list[str]:
    return [lesson.call_id for lesson in job.lessons.train]


def _linear(
    job: TrainingJob,
    config: Convert,
    home: Path,
    models_dir: Path,
    base_model: str,
    clock: Callable[[], float],
) -> Specialist | None:
    found = _finished(job, config, models_dir, base_model)
    if found is not None:
        return found
    began = clock()
    found_reader = fit_linear_safely(
        job.lessons.train, job.schema, config.seed, min_origins=config.min_origins
    )
    if found_reader is None:
        return None
    predictor, leak = found_reader
    seconds = clock() - began
    fresh = _fresh(job.folder)
    predictor.save(fresh)
    points = isinstance(predictor, PointerPredictor)
    return _seal(
        job,
        config,
        home,
        fresh,
        predictor,
        kind="pointer" if points else "linear",
        model=f"tf-idf + logistic regression{', values copied' if points else ''}",
        train_s=seconds,
        tokens_per_s=None,
        base_sha256="",
        training={},
        counter=_counter(base_model, models_dir),
        leak=leak,
    )


def fit_linear_safely(
    lessons: Sequence[TrainingExample],
    schema: AnswerSchema,
    seed: int,
    variants: Sequence[LinearSettings | None] = (None, CAREFUL),
    *,
    min_origins: int = 1,
) -> tuple[LinearPredictor | PointerPredictor, Leak | None] | None:
    """A linear predictor and its leak test: of the first variant that keeps its planted secrets, else of the last.

    Args:
        lessons: train.
        schema: how the answers are written.
        seed: of the planted secrets.
        variants: from what is best for the answers to what remembers least; None: chosen by left-out groups.
        min_origins: people who must share what is kept.

    Returns:
        None where there is nothing a linear model could choose from.
    """
    planted = planted_secrets.plant_to_choose(
        lessons, lambda answer: schema.segments(answer) is not None, seed=seed
    )
    train = [*lessons, *planted.lessons]
    found = None
    for variant in variants:
        predictor = fit_linear_predictor(
            schema,
            [x.text for x in train],
            [x.answer for x in train],
            groups=[x.group for x in train],
            weights=[x.weight for x in train],
            variant=variant,
            subjects=Subjects([x.subject for x in train], min_origins),
        )
        if predictor is None:
            return None
        kind = predictor.kind
        leak = planted_secrets.leak_test(
            planted,
            planted_secrets.loss_of_linear(predictor),
            n_rivals=planted_secrets.N_RIVALS[kind],
            budget_s=LEAK_MOST_S,
            seed=seed,
        )
        found = predictor, leak
        if leak is None or not leak.leaks:
            break
    return found


def _tuned(
    job: TrainingJob,
    config: Convert,
    home: Path,
    models_dir: Path,
    base_model: str,
    budget_s: float,
    progress: Progress,
    clock: Callable[[], float],
) -> Specialist:
    found = _finished(job, config, models_dir, base_model)
    if found is not None:
        return found
    began = clock()
    from deputize.specialists.decoder import DecoderPredictor
    from deputize.specialists.head import HeadPredictor, first_weights
    from deputize.specialists.language_model import LanguageModel
    from deputize.specialists.torch_runtime import device_for, torch_module

    torch = torch_module()
    path = catalogue.model_path(base_model, models_dir)
    digest = base_digest(base_model, models_dir)
    settings = settings_for(job, device=device_for())
    if job.method == "full":
        base = LanguageModel(path, device_for(), "fp32" if device_for() == "cpu" else "bf16")
    elif job.method == "qlora":
        base = LanguageModel(path, device_for(), "bf16", quantized=True)
    else:
        base = MODELS.get(path)
    torch.manual_seed(config.seed)
    adapter = "" if job.method == "full" else adapter_name(job.folder)
    if adapter:
        base.drop_adapter(adapter)
        base.new_adapter(adapter, trainer.adapter_settings(base, settings))
    try:
        schema = closed(job.schema)
        heads: list[tuple[Any, Any]] = []
        if schema is not None:
            for question in schema.questions:
                weights_CH = first_weights(base, question.choices).to(base.device)
                heads.append((weights_CH, torch.zeros(len(question.choices), device=base.device)))
        planted = (
            planted_secrets.plant_to_write(job.lessons.train, job.schema, seed=config.seed)
            if schema is None
            else planted_secrets.plant_to_choose(
                job.lessons.train, lambda answer: schema.indices(answer) is not None, seed=config.seed
            )
        )
        train, dev = (
            [
                row
                for row in (
                    rows_to_write(base, side, job.schema, MAX_TOKENS)
                    if schema is None
                    else rows_to_choose(base, side, schema, MAX_TOKENS)
                )
                if row is not None
            ]
            for side in ([*job.lessons.train, *planted.lessons], job.lessons.dev)
        )
        if len(train) <= len(planted.lessons):
            raise BadInput("no answer of train can be written in the task's schema")
        tuning = trainer.Trainer(base, adapter, settings, train, dev, heads, seed=config.seed, clock=clock)
        checkpoint = job.folder.with_name(job.folder.name + ".training")
        mark = checkpoint.with_suffix(".fingerprint")
        print_ = fingerprint(job, config, digest)
        if mark.is_file() and mark.read_text("utf-8") == print_:
            tuning.resume(checkpoint)
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)
            mark.write_text(print_, "utf-8")
        # a part is kept for prediction dev afterwards
        left_s = budget_s - (clock() - began)
        tuning.run(0.8 * left_s, checkpoint, progress, f"training {job.name}")
        fresh = _fresh(job.folder)
        longest = longest_slot(train)
        predictor: TextPredictor
        if schema is not None:
            heads = [(w.detach(), b.detach()) for w, b in heads]
            predictor = HeadPredictor(base, adapter, heads, schema, MAX_TOKENS)
            predictor.save(fresh)
        else:
            predictor = DecoderPredictor(base, adapter, job.schema, MAX_TOKENS, longest)
        if adapter:
            base.peft.save_pretrained(
                fresh / ADAPTER_FOLDER, selected_adapters=[adapter], save_embedding_layers=False
            )
            _flatten(fresh / ADAPTER_FOLDER, adapter)
        else:
            base.lm.to(torch.bfloat16).save_pretrained(fresh / WEIGHTS_FOLDER)
            base.tokenizer.save_pretrained(fresh / WEIGHTS_FOLDER)
        progress(f"looking for leaks of {job.name}", 0)
        leak = planted_secrets.leak_test(
            planted,
            planted_secrets.loss_of_head(base, heads, schema, planted, MAX_TOKENS)
            if schema is not None
            else planted_secrets.loss_of_writer(base, planted, MAX_TOKENS),
            n_rivals=planted_secrets.N_RIVALS["language"],
            budget_s=min(LEAK_MOST_S, LEAK_SHARE * left_s),
            seed=config.seed,
        )
        progress(f"prediction dev of {job.name}", 0)
        specialist = _seal(
            job,
            config,
            home,
            fresh,
            predictor,
            kind="head" if schema is not None else "decoder",
            model=base_model,
            train_s=tuning.busy_s,
            tokens_per_s=tuning.n_tokens / max(tuning.busy_s, 1e-9),
            base_sha256=digest,
            training={
                **settings.__dict__,
                "steps": tuning.step_number,
                "n_tokens": tuning.n_tokens,
                "history": [e.__dict__ for e in tuning.history],
                "device": base.device,
                "dtype": base.dtype,
            },
            counter=lambda text: len(base.ids(text)),
            max_slot_tokens=longest,
            read_s=0.15 * left_s,
            leak=leak,
        )
        shutil.rmtree(checkpoint, ignore_errors=True)
        mark.unlink(missing_ok=True)
        return specialist
    finally:
        if adapter:
            base.drop_adapter(adapter)


def longest_slot(rows: Sequence[EncodedExample]) -> int:
    """Tokens after which a value that is still being written is given up: it runs on as no answer in train did.

    Answers are measured whole, for a slot is never longer; the longest hundredth of them is left to the margin.
    """
    lengths = [len(row) - row.n_prompt for row in rows]
    return int(1.25 * np.percentile(lengths, 99)) + 8 if lengths else 8


def settings_for(job: TrainingJob, *, device: str = "cpu") -> trainer.TrainingSettings:
    """The training settings of a rung, by the size of its task."""
    n = len(job.lessons.train)
    return trainer.TrainingSettings(
        method=job.method,
        epochs=job.epochs,
        batch=batch_for(n),
        micro_tokens=2048 if device == "cpu" else 16384,
        lr=5e-5 if job.method == "full" else 1e-3,
        # on a CPU the upper half learns these jobs as well, in half the time (docs/log.md)
        layers=0.5 if device == "cpu" else 1.0,
    )


def _fresh(folder: Path) -> Path:
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def _flatten(folder: Path, adapter: str) -> None:
    """peft puts a named adapter in a folder of its name."""
    inner = folder / adapter
    if inner.is_dir():
        for path in inner.iterdir():
            path.rename(folder / path.name)
        inner.rmdir()
    (folder / "README.md").unlink(missing_ok=True)


def _counter(base_model: str, models_dir: Path) -> Callable[[str], int] | None:
    """Counts tokens of the base model without loading it; None where it is not fetched."""
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(catalogue.model_path(base_model, models_dir) / "tokenizer.json"))
    except (ImportError, DeputizeError):
        return None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _seal(
    job: TrainingJob,
    config: Convert,
    home: Path,
    fresh: Path,
    predictor: TextPredictor,
    *,
    kind: Any,
    model: str,
    train_s: float,
    tokens_per_s: float | None,
    base_sha256: str,
    training: dict[str, Any],
    counter: Callable[[str], int] | None,
    max_slot_tokens: int = 64,
    read_s: float = math.inf,
    leak: Leak | None = None,
) -> Specialist:
    """Calibrates on dev, adds the gate, writes the card and puts the folder in its place."""
    lessons = job.lessons
    gate = OutOfDistributionDetector.fit(
        [lesson.text for lesson in lessons.train],
        [lesson.group for lesson in lessons.train],
        seed=config.seed,
    )
    with (fresh / OUT_OF_DISTRIBUTION_FILE).open("wb") as out:
        np.savez(out, allow_pickle=False, **gate.arrays())
    predictions = _read_within(predictor, [lesson.text for lesson in lessons.dev[:MAX_DEV_READ]], read_s)
    dev = lessons.dev[: len(predictions)]
    pairs = list(zip(predictions, dev, strict=True))
    right = [agree(r.answer, lesson.answer, lessons.task.contract) for r, lesson in pairs]
    answered = [
        (r.raw_confidence, ok) for r, ok in zip(predictions, right, strict=True) if r.answer is not None
    ]
    calibration = (
        fit_calibration([s for s, _ in answered], [ok for _, ok in answered])
        if answered
        else ConfidenceCalibration()
    )
    before = after = None
    if counter is not None and lessons.dev_examples:
        sample = lessons.dev_examples[:48]
        before = round(float(np.mean([counter(_whole(e.request)) for e in sample])), 1)
        after = (
            round(float(np.mean([counter(lesson.text) for lesson in lessons.dev[:48]])), 1)
            if lessons.dev
            else None
        )
    sha = base_sha256 if job.method != "linear" else ""
    settings = PredictorSettings(
        schema=job.schema,
        calibration=calibration,
        max_tokens=MAX_TOKENS,
        max_slot_tokens=max_slot_tokens,
        training={**training, "fingerprint": fingerprint(job, config, sha)},
    )
    sums = {
        str(p.relative_to(fresh)): catalogue.sha256_of(p) for p in sorted(fresh.rglob("*")) if p.is_file()
    }
    specialist = Specialist(
        id=f"{lessons.task.id}-{job.method}",
        task_id=lessons.task.id,
        method=job.method,
        model=model,
        kind=kind,
        cost={"linear": 10, "lora": 20, "dora": 30, "qlora": 40, "full": 50}[job.method],
        is_fast=kind in ("linear", "pointer"),
        contract=lessons.task.contract,
        task=lessons.task,
        n_train=len(lessons.train),
        train_s=round(train_s, 2),
        tokens_per_s=None if tokens_per_s is None else round(tokens_per_s, 1),
        prompt_tokens_before=before,
        prompt_tokens_after=after,
        validation_accuracy=float(np.mean(right)) if right else None,
        seed=config.seed,
        base_sha256=base_sha256,
        checksums=sums,
        settings=msgspec.to_builtins(settings),
        path=_relative(job.folder, home),
        trained_on=_learnt_from(job),
        leak=leak,
    )
    write_card(fresh, specialist)
    shutil.rmtree(job.folder, ignore_errors=True)
    fresh.rename(job.folder)
    return specialist


def _read_within(predictor: TextPredictor, texts: Sequence[str], read_s: float) -> list[RawPrediction]:
    """Readings of the first texts, as many as are likely to fit into a time; the first few are always read.

    Prose is not compared, so it is not written here.
    """
    short = predictor.without_free_slots() if isinstance(predictor, WritesFreeSlots) else predictor
    began, out, size = time.monotonic(), list[RawPrediction](), 8
    while size > 0 and len(out) < len(texts):
        out += short.predict(texts[len(out) : len(out) + size])
        spent_s = time.monotonic() - began
        size = int(min(32, (read_s - spent_s) * len(out) / max(spent_s, 1e-6)))
    return out


def _relative(folder: Path, home: Path) -> str:
    try:
        return str(folder.resolve().relative_to(home.resolve()))
    except ValueError:
        return str(folder.resolve())


def _whole(request: Request) -> str:
    """A request as one text, to count what the LLM had to read."""
    parts = [str(m.get("content") or "") + json.dumps(m.get("tool_calls") or "") for m in request.messages]
    return "\n".join([*parts, json.dumps(request.tools) if request.tools else ""])
