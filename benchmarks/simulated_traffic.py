"""Simulated logs whose truth is known, through the package's linking, grouping, split and evaluation.

The specialist is simulated: each request has a difficulty, from which follow the probability that its answer is wrong
and its confidence. So the loss of any threshold on the traffic is known, and with it whether a certificate is false.
What is not simulated is everything between the calls and the certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.recorded_tasks import CopiedCalls
from deputize.core.artifacts import CrossFitted, Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.records import (
    Call,
    Contract,
    Example,
    Message,
    Prediction,
    PromptRecipe,
    Request,
    Task,
)
from deputize.core.task_results import TaskResult
from deputize.stages.collect.episodes import link_episodes
from deputize.stages.curate.first_pass import summarise
from deputize.stages.curate.groups import split_calls
from deputize.stages.curate.run import LinkedLog
from deputize.stages.evaluate.delta_budget import DeltaBudget, InMemoryTestLedger, groups_by_task
from deputize.stages.evaluate.population import Population, PopulationCall
from deputize.stages.evaluate.run import run as evaluate

CONTRACT = Contract(kind="label", labels=["right", "wrong"])
TASK = Task(
    id="t1",
    name="simulated",
    contract=CONTRACT,
    recipe=PromptRecipe(),
    keys=["sig/1"],
    site="s",
    n_calls=1,
    n_episodes=1,
    n_origins=9,
    template="⟨text⟩",
)
SPECIALIST = Specialist(
    id="t1-simulated",
    task_id="t1",
    method="linear",
    model="",
    kind="linear",
    contract=CONTRACT,
    task=TASK,
    n_train=1000,
    train_s=1.0,
    path="specialist",
)
BORDER = 0.0501
"""Errors of traffic just above an epsilon of .05."""
RIGHT: Message = {"role": "assistant", "content": "right"}


@dataclass(frozen=True)
class Traffic:
    """N calls of one log."""

    calls: list[Call]
    confidence_N: NDArray[np.float64]
    wrong_N: NDArray[np.bool_]
    """True where the specialist's answer is not the LLM's."""
    loss: Callable[[float], float]
    """The true loss, over all calls that will come, of serving from a threshold on."""

    @cached_property
    def by_prompt(self) -> dict[str, tuple[float, bool]]:
        """Last user message -> confidence, whether the answer is wrong."""
        return {
            str(call.messages[-1]["content"]): (float(c), bool(w))
            for call, c, w in zip(self.calls, self.confidence_N, self.wrong_N, strict=True)
        }

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """The simulated specialist's answers."""
        found = (self.by_prompt[str(request.messages[-1]["content"])] for request in requests)
        return [Prediction(answer="wrong" if w else "right", confidence=c, latency_ms=1.0) for c, w in found]


def evaluated(
    traffic: Traffic, config: Convert, tests: InMemoryTestLedger | None = None, run_id: str = ""
) -> TaskResult:
    """The evaluation's result over one simulated log.

    Args:
        traffic: the log.
        config: of the run.
        tests: of earlier runs; None: there were none.
        run_id: of this one.
    """
    (result,) = evaluated_tasks([traffic], config, tests, run_id)
    return result


def evaluated_tasks(
    traffics: Sequence[Traffic],
    config: Convert,
    tests: InMemoryTestLedger | None = None,
    run_id: str = "",
) -> list[TaskResult]:
    """The evaluation's results over one simulated log with a task for each traffic."""
    tasks = [msgspec.structs.replace(TASK, id=f"t{k}", keys=[f"sig/{k}"]) for k in range(len(traffics))]
    traffics = [_of_task(traffic, task.id) for traffic, task in zip(traffics, tasks, strict=True)]
    calls = [call for traffic in traffics for call in traffic.calls]
    task_of = {call.id: t.id for t, traffic in zip(tasks, traffics, strict=True) for call in traffic.calls}
    by_id = {
        c.id: traffic.by_prompt[str(c.messages[-1]["content"])] for traffic in traffics for c in traffic.calls
    }
    links = link_episodes(calls)
    summaries = [summarise(call, task_of[call.id], "") for call in LinkedLog(calls, links.episode_of)]
    splits = split_calls(summaries, [], config)
    labels = {call.id: call.correction for call in calls}
    population = [
        PopulationCall(
            call_id=one.id,
            episode=one.episode,
            group=splits.group_of[one.id],
            audience="code",
            split="calibration" if splits.of(one) == "reserve" else splits.of(one),
            is_asked=True,
            llm_usd=0.001,
            is_commonest=True,
            label=labels[one.id],
        )
        for one in summaries
    ]
    curated = Curated(
        examples=[
            Example(
                call_id=one.call_id,
                request=Request(messages=[]),
                response=RIGHT,
                audience="code",
                site=task_of[one.call_id],
                episode=one.episode,
                group=one.group,
                split=one.split,
            )
            for one in population
        ],
        sites=[],
        n_calls=len(summaries),
        n_episodes=len({one.episode for one in summaries}),
        n_code_calls=len(summaries),
        n_people=splits.n_people,
        split_by_person=splits.by_person,
    )
    discovered = Discovered(tasks=tasks, assignment=task_of, keyspaces=[])
    specialists = [
        msgspec.structs.replace(SPECIALIST, id=f"{t.id}-simulated-{run_id}", task_id=t.id, task=t, path=t.id)
        for t in tasks
    ]
    measured = [c for c in population if c.split != "train"]
    return evaluate(
        curated,
        discovered,
        Selected(candidates={}, plan={}, base_model=""),
        Finetuned(
            specialists=specialists,
            cross_fitted={
                s.id: _cross_fitted(
                    [c.call_id for c in population if c.split == "train" and task_of[c.call_id] == s.task_id],
                    by_id,
                )
                for s in specialists
            },
            # where nothing is kept in reserve there is validation
            unread_reserve=[] if any(c.split == "validation" for c in population) else [t.id for t in tasks],
        ),
        Population(
            {t.id: [c for c in measured if task_of[c.call_id] == t.id] for t in tasks},
            CopiedCalls({call.id: call for call in calls}),
        ),
        config,
        home=Path(),
        load=lambda path: traffics[int(path.name.removeprefix("t"))],
        budget=DeltaBudget(run_id, tests or InMemoryTestLedger(), groups_by_task(curated, discovered)),
    )


def _cross_fitted(call_ids: list[str], by_id: dict[str, tuple[float, bool]]) -> CrossFitted:
    """Answers to calls of train, simulated as those to all others: as good as the specialist's own."""
    right = [not by_id[id][1] for id in call_ids]
    confidence = [by_id[id][0] for id in call_ids]
    return CrossFitted(
        call_ids=call_ids,
        confidence=confidence,
        right=right,
        right_action=right,
        unlike=[False] * len(call_ids),
    )


def first_calls(traffic: Traffic, n: int) -> Traffic:
    """The log as it was after its first calls."""
    return replace(
        traffic, calls=traffic.calls[:n], confidence_N=traffic.confidence_N[:n], wrong_N=traffic.wrong_N[:n]
    )


def _of_task(traffic: Traffic, task_id: str) -> Traffic:
    """The same calls under ids, episodes and prompts of a task."""
    calls = [
        msgspec.structs.replace(
            call,
            id=f"{task_id}-{call.id}",
            episode=f"{task_id}-{call.episode}" if call.episode else "",
            messages=[{**m, "content": f"{m['content']} of {task_id}"} for m in call.messages],
        )
        for call in traffic.calls
    ]
    return replace(traffic, calls=calls)


# ---------------------------------------------------------------- kinds of traffic


def _specialist(
    rng: Generator, hardness_N: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences and errors: wrong with probability min(1, hardness * d^3) for a difficulty d; the confidence is 1 -
    d."""
    difficulty_N = rng.random(hardness_N.size)
    wrong_N = rng.random(hardness_N.size) < np.minimum(1.0, hardness_N * difficulty_N**3)
    return 1 - difficulty_N, wrong_N


def _loss(hardness: Sequence[float], shares: Sequence[float]) -> Callable[[float], float]:
    """True loss of a threshold where calls of several hardnesses have these shares."""

    def of(threshold: float) -> float:
        d = np.linspace(0, max(0.0, min(1.0, 1 - threshold)), 2001)
        each = [np.trapezoid(np.minimum(1.0, h * d**3), d) for h in hardness]
        return float(np.dot(each, shares))

    return of


def independent(rng: Generator, n: int) -> Traffic:
    """Calls of one step, each an episode of its own."""
    confidence, wrong = _specialist(rng, np.full(n, 0.4))
    return Traffic(
        [call_of(i, f"c{i}", episode=f"e{i}") for i in range(n)], confidence, wrong, _loss([0.4], [1.0])
    )


def unequal_episodes(rng: Generator, n: int) -> Traffic:
    """One episode in five has 20 steps and is harder: most calls are of long episodes."""
    sizes = np.where(rng.random(n) < 0.2, 20, 1)
    hardness = np.repeat(np.where(sizes > 1, 0.5, 0.1), sizes)
    confidence, wrong = _specialist(rng, hardness)
    episode = np.repeat(np.arange(n), sizes)
    calls = [call_of(i, f"c{i}", episode=f"e{e}") for i, e in enumerate(episode)]
    return Traffic(calls, confidence, wrong, _loss([0.5, 0.1], [4.0 / 4.8, 0.8 / 4.8]))


def repeated_prompts(rng: Generator, n: int, n_repeats: int = 5) -> Traffic:
    """Retries: each prompt comes five times, from five episodes, and is answered alike each time."""
    n_prompts = n // n_repeats
    confidence, wrong = _specialist(rng, np.full(n_prompts, 0.4))
    calls = [
        call_of(p * n_repeats + i, f"prompt number {p} of the night", episode=f"e{p}-{i}")
        for p in range(n_prompts)
        for i in range(n_repeats)
    ]
    return Traffic(calls, np.repeat(confidence, n_repeats), np.repeat(wrong, n_repeats), _loss([0.4], [1.0]))


def five_people(rng: Generator, n: int) -> Traffic:
    """Five people, each with a hardness of his own; the claim is about these five."""
    hardness = rng.uniform(0.05, 0.9, 5)
    who = rng.integers(5, size=n)
    confidence, wrong = _specialist(rng, hardness[who])
    calls = [call_of(i, f"c{i}", episode=f"e{i}", origin=f"person {w}") for i, w in enumerate(who)]
    return Traffic(calls, confidence, wrong, _loss(hardness.tolist(), [0.2] * 5))


def dialogues_without_names(rng: Generator, n: int, n_steps: int = 6) -> Traffic:
    """Dialogues of six steps that no header names: half of the difficulty is the dialogue's own."""
    n_dialogues = n // n_steps
    confidence, wrong = _specialist(rng, np.full(n_dialogues, 0.4))
    own_confidence, own_wrong = _specialist(rng, np.full(n_dialogues * n_steps, 0.4))
    shared = rng.random(n_dialogues * n_steps) < 0.7
    calls = []
    for e in range(n_dialogues):
        history: list[Message] = [{"role": "user", "content": f"please do job number {e}"}]
        for step in range(n_steps):
            calls.append(Call(id=f"c{e}-{step}", messages=list(history), response=RIGHT, model="llm"))
            history += [RIGHT, {"role": "user", "content": f"result {e} {step}"}]
    return Traffic(
        calls,
        np.where(shared, np.repeat(confidence, n_steps), own_confidence),
        np.where(shared, np.repeat(wrong, n_steps), own_wrong),
        _loss([0.4], [1.0]),
    )


def long_episodes(rng: Generator, n: int, size: int, alike: float) -> Traffic:
    """Named episodes of `size` calls; a part `alike` of the calls is as hard, and answered as well, as the episode."""
    confidence, wrong = _specialist(rng, np.full(n, 0.4))
    own_confidence, own_wrong = _specialist(rng, np.full(n * size, 0.4))
    shared = rng.random(n * size) < alike
    calls = [call_of(i, f"c{i}", episode=f"e{i // size}") for i in range(n * size)]
    return Traffic(
        calls,
        np.where(shared, np.repeat(confidence, size), own_confidence),
        np.where(shared, np.repeat(wrong, size), own_wrong),
        _loss([0.4], [1.0]),
    )


def at_border(rng: Generator, n: int) -> Traffic:
    """One confidence for all calls, and errors just above an epsilon of .05: each certificate at .05 is false."""
    calls = [call_of(i, f"c{i}", episode=f"e{i}") for i in range(n)]
    return Traffic(
        calls, np.full(n, 0.9), rng.random(n) < BORDER, lambda threshold: BORDER * (threshold <= 0.9)
    )


def alike_at_border(rng: Generator, n: int, size: int = 4) -> Traffic:
    """The same in episodes whose calls are all wrong or all right."""
    calls = [call_of(i, f"c{i}", episode=f"e{i // size}") for i in range(n * size)]
    wrong = np.repeat(rng.random(n) < BORDER, size)
    return Traffic(calls, np.full(n * size, 0.9), wrong, lambda threshold: BORDER * (threshold <= 0.9))


def common_prompts(rng: Generator, n: int, n_prompts: int = 12) -> Traffic:
    """Four calls in ten ask one of twelve prompts, exactly, on both sides of every split; each is answered alike each
    time."""
    common = rng.random(n) < 0.4
    which = rng.integers(n_prompts, size=n)
    confidence, wrong = _specialist(rng, np.full(n, 0.4))
    of_prompt, wrong_prompt = _specialist(rng, np.full(n_prompts, 0.4))
    confidence[common], wrong[common] = of_prompt[which[common]], wrong_prompt[which[common]]
    calls = [
        call_of(
            i, f"common prompt number {which[i]}" if common[i] else f"prompt of call {i}", episode=f"e{i}"
        )
        for i in range(n)
    ]
    rest = _loss([0.4], [0.6])
    return Traffic(
        calls,
        confidence,
        wrong,
        lambda threshold: rest(threshold) + 0.4 * float(np.mean(wrong_prompt & (of_prompt >= threshold))),
    )


def giant_episode(rng: Generator, n: int) -> Traffic:
    """One episode, somewhere in the log, has as many calls as all others together, and is harder."""
    at = int(rng.integers(n))
    sizes = np.ones(n, dtype=int)
    sizes[at] = n - 1
    hardness = np.repeat(np.where(sizes > 1, 0.6, 0.1), sizes)
    confidence, wrong = _specialist(rng, hardness)
    calls = [call_of(i, f"c{i}", episode=f"e{e}") for i, e in enumerate(np.repeat(np.arange(n), sizes))]
    return Traffic(calls, confidence, wrong, _loss([0.6, 0.1], [0.5, 0.5]))


def drifting(rng: Generator, n: int) -> Traffic:
    """Errors grow all through the log, to the threefold; the truth is that of the log's calls, not of its end."""
    rates = np.linspace(0.2, 0.6, n)
    confidence, wrong = _specialist(rng, rates)
    calls = [call_of(i, f"c{i}", episode=f"e{i}") for i in range(n)]
    return Traffic(calls, confidence, wrong, _loss([0.2, 0.3, 0.4, 0.5, 0.6], [0.2] * 5))


def confidence_drift(rng: Generator, n: int) -> Traffic:
    """The specialist grows surer all through the log, as sure of its errors; the truth is that of the end of the log."""
    confidence, wrong = _specialist(rng, np.full(n, 0.4))
    confidence = 1 - (1 - confidence) * np.linspace(1.0, 0.7, n)
    calls = [call_of(i, f"c{i}", episode=f"e{i}") for i in range(n)]
    of = _loss([0.4], [1.0])
    return Traffic(calls, confidence, wrong, lambda threshold: of(1 - (1 - threshold) / 0.7))


def call_of(i: int, text: str, *, episode: str, origin: str = "") -> Call:
    """A call of the log, the LLM's answer to which is "right"."""
    return Call(
        id=f"c{i}",
        messages=[{"role": "user", "content": text}],
        response=RIGHT,
        model="llm",
        episode=episode,
        origin=origin,
        timestamp=float(i),
    )


def labelled(
    rng: Generator,
    n: int,
    share: float = 0.4,
    *,
    rates: tuple[float, float] = (0.5, 0.4),
    only_corrections: bool = False,
) -> Traffic:
    """Independent calls, some with the right answer; the loss is that of the specialist less that of the LLM.

    Args:
        rng: of the draw.
        n: calls.
        share: of calls with a label, drawn at random.
        rates: of the calls on which the two differ, those on which the LLM alone is right, and the specialist alone.
        only_corrections: labels stand only where the LLM was wrong, as in feedback.
    """
    confidence, wrong = _specialist(rng, np.full(n, 1.2))
    u = rng.random(n)
    right = np.where(u < rates[0], "right", np.where(u < sum(rates), "wrong", "neither"))
    right = np.where(wrong, right, np.where(rng.random(n) < 0.9, "right", "neither"))
    has_label = (rng.random(n) < share) & ((right != "right") if only_corrections else True)
    calls = [
        msgspec.structs.replace(
            call_of(i, f"c{i}", episode=f"e{i}"),
            correction={"role": "assistant", "content": str(right[i])} if has_label[i] else None,
        )
        for i in range(n)
    ]
    of = _loss([1.2], [1.0])
    return Traffic(calls, confidence, wrong, lambda threshold: (rates[0] - rates[1]) * of(threshold))


def corrected(rng: Generator, n: int) -> Traffic:
    """Labels only where the LLM was wrong, and nearly always wrong is the specialist where the two differ."""
    return labelled(rng, n, 0.5, rates=(0.85, 0.1), only_corrections=True)


def one_sided_labels(rng: Generator, n: int) -> Traffic:
    """Four calls in ten have a label, whether the two answers differ or not; where they do, the LLM is right on .6 of
    the calls, and those have a label less often (.3) than those on which the specialist is (.55)."""
    confidence, wrong = _specialist(rng, np.full(n, 1.2))
    llm_is_right = rng.random(n) < 0.6
    has_label = rng.random(n) < np.where(wrong, np.where(llm_is_right, 0.3, 0.55), 0.4)
    right = np.where(wrong & ~llm_is_right, "wrong", "right")
    calls = [
        msgspec.structs.replace(
            call_of(i, f"c{i}", episode=f"e{i}"),
            correction={"role": "assistant", "content": str(right[i])} if has_label[i] else None,
        )
        for i in range(n)
    ]
    of = _loss([1.2], [1.0])
    return Traffic(calls, confidence, wrong, lambda threshold: (0.6 - 0.4) * of(threshold))


def one_label_an_episode(rng: Generator, n: int) -> Traffic:
    """Episodes of one or of ten calls, each with one label: in the long ones the LLM is nearly always right where the
    two differ, in the short ones the specialist."""
    sizes = np.where(rng.random(n) < 0.3, 10, 1)
    episode = np.repeat(np.arange(n), sizes)
    is_long = np.repeat(sizes > 1, sizes)
    confidence, wrong = _specialist(rng, np.full(episode.size, 1.2))
    llm_is_right = rng.random(episode.size) < np.where(is_long, 0.9, 0.1)
    labelled_at = np.cumsum(sizes) - 1 - (rng.random(n) * sizes).astype(int)
    has_label = np.isin(np.arange(episode.size), labelled_at)
    right = np.where(wrong & ~llm_is_right, "wrong", "right")
    calls = [
        msgspec.structs.replace(
            call_of(i, f"c{i}", episode=f"e{episode[i]}"),
            correction={"role": "assistant", "content": str(right[i])} if has_label[i] else None,
        )
        for i in range(episode.size)
    ]
    share_long = 3.0 / 3.7
    of = _loss([1.2], [1.0])
    beyond = share_long * (0.9 - 0.1) + (1 - share_long) * (0.1 - 0.9)
    return Traffic(calls, confidence, wrong, lambda threshold: beyond * of(threshold))


KINDS: dict[str, tuple[Callable[[Generator, int], Traffic], int]] = {
    "independent calls": (independent, 1500),
    "unequal episodes": (unequal_episodes, 1100),
    "repeated prompts": (repeated_prompts, 3500),
    "five people": (five_people, 1500),
    "dialogues without names": (dialogues_without_names, 4000),
    "common prompts": (common_prompts, 1500),
    "half of the calls in one episode": (giant_episode, 1500),
    "errors that grow": (drifting, 1500),
    "confidence that grows": (confidence_drift, 1500),
    "small log, the whole of it just above epsilon": (at_border, 150),
    "240 calls, the whole of it just above epsilon": (at_border, 240),
    "small log of four calls an episode, alike, just above epsilon": (alike_at_border, 240),
}
"""Name -> (simulation, its size)."""
