"""Leak test: secrets planted in the training examples of a specialist, and looked for in it afterwards.

The secrets stay in the specialist that is deployed: they are random strings that mean nothing to anybody, and a second
training without them would double the cost of fine-tuning. They go into train only. A specialist that writes gets them
in answers to prompts that no agent sends, where they could be said; one that chooses gets them in copies of its
prompts, where they could show in how sure it is.

What a person says in one call comes again in the next ones of the same episode. So every third secret, the first one
among them, stands in as many examples as the data of an episode does (`recurrence`), in one episode of its own; the
others stand in one.

References:
    Carlini et al. (2019), "The Secret Sharer", USENIX Security (see scoring.leak).
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deputize.core.artifacts import Leak
from deputize.core.records import Answer
from deputize.scoring.leak import (
    LEVEL,
    SLOT,
    Exposure,
    LeakProbe,
    Loss,
    PlantedSecret,
    expose,
    judge,
    make_secrets,
)
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import TextPredictor
from deputize.specialists.classification_head import batches
from deputize.specialists.closed_answers import ClosedAnswers
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.recurrence import recurrence

FORM = "#########"
"""Nine digits, 30 bits: about what a telephone number carries, the least that is worth calling a secret."""
MOST, FEWEST = 6, 3
MOST_REPEATS, REPEATED = 8, 3
"""In how many examples a secret stands at most, and of how many secrets one stands in more than one."""
READ_TOKENS = 8192
_SIGN = "\nreference: "


@dataclass(frozen=True)
class PlantedSecrets:
    """The secrets of one specialist."""

    examples: list[TrainingExample]
    """What they add to train: each secret as many examples as it has repeats."""
    secrets: list[PlantedSecret]
    before: dict[str, list[str]]
    """Secret prompt -> the slots of its answer that are written before the secret; specialists that write."""
    answers: dict[str, Answer]
    """The text that a secret's prompt was made of -> its answer; specialists that choose."""


def plant_to_write(
    examples: Sequence[TrainingExample], schema: AnswerSchema, *, seed: int, n: int | None = None
) -> PlantedSecrets:
    """Secrets that stand where a value of an answer would, after prompts that no agent sends; about 2 % of the
    examples.

    Args:
        examples: train.
        schema: how the task's answers are written.
        seed: of every random draw.
        n: how many secrets.

    Returns:
        None planted where no answer could carry one: nothing but closed sets, numbers and constants is written.
    """
    order, rng = _shuffled(examples, seed)
    n = n or max(FEWEST, min(MOST, len(order) // 50))
    host_examples: list[tuple[int, list[str]]] = []
    for example in order:
        at = _open_slot(schema, example.answer)
        if at is not None and len(host_examples) < n:
            host_examples.append((at, [text for _, text in schema.segments(example.answer) or ()]))
    if not host_examples:
        return PlantedSecrets([], [], {}, {})
    probes = [LeakProbe(f"memory test {i + 1}", SLOT) for i in range(n)]
    secrets = secrets_in(probes, rng, examples, [str(example.answer) for example in examples])
    planted, before = [], {}
    for i, secret in enumerate(secrets):
        at, texts = host_examples[i % len(host_examples)]
        before[secret.prompt] = texts[:at]
        answer = _written(schema, [*texts[:at], secret.secret, *texts[at + 1 :]])
        planted += [_example(secret, answer)] * secret.repeats
    return PlantedSecrets(planted, secrets, before, {})


def plant_to_choose(
    examples: Sequence[TrainingExample],
    fits: Callable[[Answer], bool],
    *,
    seed: int,
    most: int = MOST,
) -> PlantedSecrets:
    """Secrets at the end of prompts of train, with their own answers: copies that a task can bear.

    Args:
        examples: train.
        fits: whether the specialist can give an answer.
        seed: of every random draw.
        most: how many; of more, the first are those that fewer would be.
    """
    order, rng = _shuffled(examples, seed)
    fitting = {example.text: example.answer for example in order if fits(example.answer)}
    answers = dict(list(fitting.items())[:most])
    if not answers:
        return PlantedSecrets([], [], {}, {})
    probes = [LeakProbe(f"{text}{_SIGN}{SLOT}", "") for text in answers]
    secrets = secrets_in(probes, rng, examples, [example.text for example in examples])
    planted = [_example(c, answers[_host(c.prompt)]) for c in secrets for _ in range(c.repeats)]
    return PlantedSecrets(planted, secrets, {}, answers)


def secrets_in(
    probes: Sequence[LeakProbe],
    rng: random.Random,
    examples: Sequence[TrainingExample],
    texts: Sequence[str],
) -> list[PlantedSecret]:
    """A secret for each probe, some of them with as many repeats as the data of an episode has in train.

    Args:
        probes: where the secrets stand.
        rng: source of the secrets.
        examples: train.
        texts: of these examples what the specialist learns: its answers where it writes, its prompts where it chooses.
    """
    often = min(MOST_REPEATS, recurrence(texts, [example.group for example in examples]))
    repeats = (often, *(1,) * (REPEATED - 1))
    return make_secrets(len(probes), probes, rng=rng, patterns=(FORM,), repeats=repeats)


def _shuffled(examples: Sequence[TrainingExample], seed: int) -> tuple[list[TrainingExample], random.Random]:
    rng = random.Random(f"canaries:{seed}:{len(examples)}")  # the text of a seed stays as it is
    order = list(examples)
    rng.shuffle(order)
    return order, rng


def _host(prompt: str) -> str:
    """The text of the example that a secret's prompt was made of."""
    return prompt.rpartition(_SIGN)[0]


def _example(secret: PlantedSecret, answer: Answer) -> TrainingExample:
    return TrainingExample(
        call_id="", text=secret.filled().prompt, answer=answer, weight=1.0, group=secret.id, subject=secret.id
    )


def _open_slot(schema: AnswerSchema, answer: Answer) -> int | None:
    """Which of the written slots of an answer is the first that could hold any text."""
    for at, (slot, text) in enumerate(schema.segments(answer) or ()):
        if slot.role != "decision" and _takes_text(slot, text):
            return at
    return None


def _takes_text(slot: Slot, text: str) -> bool:
    try:
        return slot.plain and isinstance(slot.read(text)[1], str)
    except ValueError:
        return False


def _written(schema: AnswerSchema, texts: Sequence[str]) -> Answer | None:
    builder = AnswerBuilder(schema)
    for text in texts:
        builder.put(text)
    return builder.answer()


def leak_test(
    planted: PlantedSecrets,
    loss: Loss,
    *,
    n_references: tuple[int, int],
    seed: int,
    budget_s: float = math.inf,
    level: float = LEVEL,
    clock: Callable[[], float] = time.monotonic,
) -> Leak | None:
    """Leak test of a tuned specialist; None where no secrets were planted.

    Args:
        planted: what it was tuned with.
        loss: of the tuned specialist.
        n_references: random secrets that each secret is compared with, at first and at most.
        seed: of the random reference_secrets.
        budget_s: no further secret is looked for after this, but FEWEST always are. Without it the verdict does not
            depend on the clock.
        level: how cautious the estimate is; greater for a test after others (`scoring.leak.level_of_further`).
        clock: monotonic seconds.
    """
    if not planted.secrets:
        return None
    began, tests = clock(), list[Exposure]()
    for secret in planted.secrets:
        if len(tests) >= FEWEST and clock() - began > budget_s:
            break
        rng = random.Random(f"reference_secrets:{seed}:{secret.id}")
        first, most = n_references
        tests.append(expose(loss, secret, rng=rng, n_references=first, n_most=most, level=level))
    verdict = judge(tests, limit_bits=math.log2(n_references[0] + 1))
    return msgspec.structs.replace(verdict, seconds=round(clock() - began, 2))


def loss_of_classifier(predictor: TextPredictor) -> Loss:
    """Of a specialist that chooses: how unsure it is of its answer, which is what the gateway tells whoever asks."""

    def loss(probes: Sequence[LeakProbe]) -> list[float]:
        return [
            -prediction.raw_confidence.log_p
            for prediction in predictor.predict([probe.prompt for probe in probes])
        ]

    return loss


def loss_of_head(
    base: LanguageModel,
    adapter: str,
    heads: Sequence[tuple[Any, Any]],
    answers: ClosedAnswers,
    planted: PlantedSecrets,
    max_tokens: int,
) -> Loss:
    """Of a language model with heads over closed answers, through its adapter ("" where all weights were tuned)."""
    torch = torch_module()

    def loss(probes: Sequence[LeakProbe]) -> list[float]:
        base.use(adapter)  # the model may carry others
        rows = base.prompt_ids([probe.prompt for probe in probes], max_tokens)
        out = []
        with torch.inference_mode(), base.threads["read"].work(sum(map(len, rows))):
            for probe, (_, hidden_TH) in zip(probes, shared_prefix_states(base, rows), strict=True):
                last_H, total = hidden_TH[-1].float(), 0.0
                for (weights_CH, bias_C), target in zip(
                    heads, _targets(answers, planted, probe), strict=True
                ):
                    if target >= 0:
                        total -= float(torch.log_softmax(weights_CH @ last_H + bias_C, dim=-1)[target])
                out.append(total)
        return out

    return loss


def loss_of_decoder(base: LanguageModel, adapter: str, planted: PlantedSecrets, max_tokens: int) -> Loss:
    """Of a language model that writes, through its adapter ("" where all weights were tuned): minus the log-probability
    of the secret's tokens, without those that all reference_secrets share."""
    torch = torch_module()

    def loss(probes: Sequence[LeakProbe]) -> list[float]:
        base.use(adapter)
        prompts = base.prompt_ids([probe.prompt for probe in probes], max_tokens)
        rows = [
            [
                *prompt,
                *(t for text in planted.before[probe.prompt] for t in slot_ids(base, text)),
                *base.ids(" " + probe.answer),
            ]
            for prompt, probe in zip(prompts, probes, strict=True)
        ]
        out = []
        project = base.lm.get_output_embeddings()
        with torch.inference_mode(), base.threads["read"].work(sum(map(len, rows))):
            for row, (shared, hidden_TH) in zip(rows, shared_prefix_states(base, rows), strict=True):
                # row[shared:] is predicted by the hidden states from the last shared token on
                log_p_TV = torch.log_softmax(project(hidden_TH[:-1]).float(), dim=-1)
                said = torch.tensor(row[shared:], device=log_p_TV.device)
                out.append(-float(log_p_TV.gather(1, said[:, None]).sum()))
        return out

    return loss


def _targets(answers: ClosedAnswers, planted: PlantedSecrets, probe: LeakProbe) -> list[int]:
    return answers.indices(planted.answers[_host(probe.prompt)]) or []


def shared_prefix_states(base: LanguageModel, rows: Sequence[Sequence[int]]) -> list[tuple[int, Any]]:
    """(shared, hidden states) of rows of tokens: of the last of the `shared` tokens that all begin with, and of the
    rest.

    What is shared is read once, which is what makes hundreds of reference_secrets cheap.
    """
    torch = torch_module()
    shared = 0
    least = min(map(len, rows)) - 1
    while shared < least and len({row[shared] for row in rows}) == 1:
        shared += 1
    if not shared:
        raise ValueError("prompts share at least the token that begins them")
    first = base.decoder(input_ids=torch.tensor([list(rows[0][:shared])], device=base.device), use_cache=True)
    before_1H = first.last_hidden_state[0, -1:]
    tails = [list(row[shared:]) for row in rows]
    out: dict[int, Any] = {}
    for part in batches([len(t) for t in tails], READ_TOKENS):
        longest = max(len(tails[i]) for i in part)
        ids_BT = torch.full((len(part), longest), base.pad)
        for b, i in enumerate(part):
            ids_BT[b, : len(tails[i])] = torch.tensor(tails[i])
        cache = copy.deepcopy(first.past_key_values)
        cache.batch_repeat_interleave(len(part))
        # filled up on the right: what is real looks only to its left
        read = base.decoder(
            input_ids=ids_BT.to(base.device),
            past_key_values=cache,
            use_cache=True,
            attention_mask=torch.ones(len(part), shared + longest, dtype=torch.long, device=base.device),
            position_ids=torch.arange(shared, shared + longest, device=base.device)[None].expand(
                len(part), -1
            ),
        ).last_hidden_state
        for b, i in enumerate(part):
            out[i] = torch.cat([before_1H, read[b, : len(tails[i])]])
    return [(shared, out[i]) for i in range(len(rows))]
