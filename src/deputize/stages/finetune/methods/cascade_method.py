"""Trained specialists of a task put together: cheap ones answer alone where they are sure, more of them speak
elsewhere.

Not in the registry: a cascade is made from what other methods have trained (deputize.specialists.cascade says how it
predicts).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from deputize.core.artifacts import Leak, MethodPlan, Specialist, TaskProbe
from deputize.core.deadline import Deadline
from deputize.core.percentages import percent
from deputize.core.records import Task
from deputize.scoring.leak import LEVEL, level_of_further
from deputize.specialists.base import ClosedPredictor, ClosedScores, RawPrediction, choose_each
from deputize.specialists.cascade import (
    SETTINGS_FILE,
    CascadePredictor,
    CascadeSettings,
    default_settings,
    member_folder,
    never_sure,
    scores_at,
)
from deputize.specialists.closed_answers import ClosedAnswers
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.specialist_card import OUT_OF_DISTRIBUTION_FILE, read_card, settings_of
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.fit_cascade import (
    MIN_FIT,
    SOFTER,
    fit_cascade,
    servable,
    silenced,
    softened,
    softer,
)
from deputize.stages.finetune.methods.base import CrossFittedAnswers, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.cross_fitting import folds_of

MAX_FIT, CHUNK = 600, 16
"""Validation examples that a cascade is fitted on, and those after which the clock is looked at."""
FIT_SHARE, LEAK_SHARE = 0.3, 0.3
"""Of the time left, for reading validation to fit, and for the leak test. Where either does not suffice there is no
cascade: one fitted on what the clock allowed would be another one each time."""
LEAST_GAIN = 0.005
"""Share of validation by which a third or further member must raise what can be served."""
N_REFERENCES = (127, 1023)
"""Random secrets that each planted one is compared with: at first, and where that leaves open whether it is safe."""


class CascadeMethod:
    """A cascade of specialists of one task."""

    tunes_base_model = False

    def __init__(self, members: Sequence[Specialist]) -> None:
        """
        Args:
            members: two or more, from cheap to expensive; the first is fast, and answers the same alone and in a batch.
        """
        self.members = list(members)
        self.name = "+".join(member.method for member in members)
        self.cost = members[-1].cost - 1
        """Below the last one's: most calls never reach it."""
        self.why_not = ""
        """Why there is no such cascade; "" before `train`, and where there is one."""
        self.factors = [1.0] * len(self.members)
        """By which the fitted weights of all together were multiplied, so that no planted secret is given away."""
        self.silent = set[int]()
        """Steps of several members, but not all, that give one away: they never decide, all members speak."""

    def require(self) -> None:
        """Nothing: the members are there."""

    def base_model(self, context: TrainingContext) -> str:
        """None of its own: ""."""
        return ""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where members do not answer the same closed questions; and, with the reason in `why_not`, where the last
        of three or more adds too little, or where time is short."""
        members = _loaded(self.members, context)
        if members is None:
            return None
        trained = self._joined(members, job, context, budget_s)
        if trained is None:
            CascadePredictor(members, default_settings(len(members))).release()
        return trained

    def _joined(
        self, members: Sequence[ClosedPredictor], job: TrainingJob, context: TrainingContext, budget_s: float
    ) -> Trained | None:
        """The members put together; None, with the reason in `why_not`, where that is not worth it or time is short."""
        began = context.clock()
        some, scores = self._scored(members, job, context, budget_s)
        if scores is None:
            self.why_not = "not made: no time was left to read validation with all members"
            return None
        settings = self._fit(members, scores, some, job, context)
        if settings is None:
            return None
        until = Deadline.after(LEAK_SHARE * budget_s, context.clock)
        found = self._keeping_secrets(members, scores, some, settings, job, context, until)
        if found is None:
            self.why_not = "not made: no time was left for its leak test"
            return None
        settings, leak = found
        predictor = CascadePredictor(members, settings)
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=", then ".join(member.model for member in self.members),
            save=lambda folder: self._save(settings, folder, context),
            train_s=context.clock() - began,
            leak=leak,
            hyperparameters={**msgspec.to_builtins(settings), "n_fit": len(some)},
            release=predictor.release,
        )

    def _keeping_secrets(
        self,
        members: Sequence[ClosedPredictor],
        scores: Sequence[ClosedScores],
        some: Sequence[TrainingExample],
        settings: CascadeSettings,
        job: TrainingJob,
        context: TrainingContext,
        until: Deadline,
    ) -> tuple[CascadeSettings, Leak | None] | None:
        """(the settings as far as they give no planted secret away, the leak test of all members); None: it was cut
        short."""
        answers, seed = members[0].answers, context.config.seed
        tested = [RememberedScores(member) for member in members]
        planted = planted_secrets.plant_to_choose(
            job.examples.train, lambda answer: answers.indices(answer) is not None, seed=seed
        )

        def leak_of(now: CascadeSettings, level: float = LEVEL) -> Leak | None:
            # all speak: confidences of two kinds could not be compared
            predictor = CascadePredictor(tested[: len(now.steps)], never_sure(now))
            loss, left_s = planted_secrets.loss_of_classifier(predictor), until.left_s()
            return planted_secrets.leak_test(
                planted, loss, n_references=N_REFERENCES, budget_s=left_s, seed=seed, level=level
            )

        leak, level, truth = None, LEVEL, [x.answer for x in some]
        for factors in softer(answers, scores, truth, job.task.contract, context.config.epsilon, settings):
            leak = leak_of(softened(settings, factors), level)
            self.factors, level = factors, level_of_further(len(SOFTER) * len(members))
            if leak is None or not leak.leaks:
                break
        # the first has been tested as it is; some of them together only as their own cascade was softened
        fewer = {n: leak_of(CascadeSettings(steps=settings.steps[:n])) for n in range(2, len(members))}
        if any(one is not None and one.n_planted < len(planted.secrets) for one in (leak, *fewer.values())):
            return None
        self.silent = {n - 1 for n, one in fewer.items() if one is not None and one.leaks}
        return self._as_tested(settings), leak

    def _as_tested(self, settings: CascadeSettings) -> CascadeSettings:
        """Fitted settings as the leak test lets them be."""
        return silenced(softened(settings, self.factors), self.silent)

    def _scored(
        self, members: Sequence[ClosedPredictor], job: TrainingJob, context: TrainingContext, budget_s: float
    ) -> tuple[list[TrainingExample], list[ClosedScores] | None]:
        """(examples to fit on, their scores by each member, None where time is short): validation, or train by
        cross-fitting."""
        rows = job.examples.validation
        if job.examples.is_cross_fitted:
            return rows, [scores_of_member(member, context) for member in self.members]
        some = [x for x in rows if x.answer is not None][:MAX_FIT]
        return some, _read_all(members, some, Deadline.after(FIT_SHARE * budget_s, context.clock))

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Answers by the members' cross-fitted scores, each part of train with weights and exits fitted on the
        others."""
        assert isinstance(trained.predictor, CascadePredictor)
        answers, rows = trained.predictor.answers, job.examples.validation
        scores_M = [scores_of_member(member, context) for member in self.members]
        fold_N, predictions = folds_of(job.examples), dict[int, RawPrediction]()
        for fold in sorted({*fold_N.tolist()}):
            held, rest = np.flatnonzero(fold_N == fold).tolist(), np.flatnonzero(fold_N != fold).tolist()
            settings = fit_cascade(
                answers,
                [scores_at(scores, rest) for scores in scores_M],
                [rows[i].answer for i in rest],
                job.task.contract,
                context.config.epsilon,
            )
            settings = self._as_tested(settings)
            members = [GivenScores(answers, scores_at(scores, held)) for scores in scores_M]
            said = CascadePredictor(members, settings).predict([str(place) for place in range(len(held))])
            predictions |= dict(zip(held, said, strict=True))
        p_values = context.answers[self.members[0].id].p_values
        return CrossFittedAnswers([predictions[i] for i in range(len(rows))], p_values)

    def _fit(
        self,
        members: Sequence[ClosedPredictor],
        scores: Sequence[ClosedScores],
        some: Sequence[TrainingExample],
        job: TrainingJob,
        context: TrainingContext,
    ) -> CascadeSettings | None:
        """The settings; None where the last of three or more members adds too little on validation."""
        answers, contract, epsilon = members[0].answers, job.task.contract, context.config.epsilon
        truth = [x.answer for x in some]
        if len(members) > 2:
            if len(some) < MIN_FIT:
                self.why_not = (
                    f"not made: {len(some)} calls to choose by, {MIN_FIT} are needed to tell what it adds"
                )
                return None
            groups = [x.group for x in some]
            before = servable(answers, scores[:-1], truth, groups, contract, epsilon)
            after = servable(answers, scores, truth, groups, contract, epsilon)
            if after < before + LEAST_GAIN:
                self.why_not = f"not made: it could serve {percent(after)} of the calls it was tried on, {percent(before)} without its last member"
                return None
        return fit_cascade(answers, scores, truth, contract, epsilon)

    def _save(self, settings: CascadeSettings, folder: Path, context: TrainingContext) -> None:
        (folder / SETTINGS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=1))
        for place, member in enumerate(self.members):
            unread = shutil.ignore_patterns(OUT_OF_DISTRIBUTION_FILE)
            shutil.copytree(context.home / member.path, folder / member_folder(place), ignore=unread)


class RememberedScores:
    """A member that reads each text once, however often it is asked."""

    def __init__(self, member: ClosedPredictor) -> None:
        self.answers, self._member = member.answers, member
        self._read = dict[str, ClosedScores]()

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Those of the member."""
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        if new:
            read = self._member.scores(new)
            self._read |= {text: scores_at(read, [place]) for place, text in enumerate(new)}
        rows = [self._read[text] for text in texts]
        log_ps = [np.concatenate(blocks) for blocks in zip(*(row.log_ps for row in rows), strict=True)]
        return ClosedScores(log_ps, [row.n_prompt_tokens[0] for row in rows])

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return choose_each(self.answers, self.scores(texts))


class GivenScores:
    """A member whose scores are there already: a text is the place of its scores."""

    def __init__(self, answers: ClosedAnswers, given: ClosedScores) -> None:
        self.answers, self.given = answers, given

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Those at the places."""
        return scores_at(self.given, [int(text) for text in texts])

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per place."""
        return choose_each(self.answers, self.scores(texts))


def can_cross_fit(members: Sequence[Specialist], context: TrainingContext) -> bool:
    """True where all members have been cross-fitted on train, and score every choice."""
    return all(m.id in context.answers and context.answers[m.id].scores is not None for m in members)


def scores_of_member(member: Specialist, context: TrainingContext) -> ClosedScores:
    """Of the logged calls of train, each by a model fitted on other groups (`can_cross_fit`)."""
    scores = context.answers[member.id].scores
    assert scores is not None
    return scores


def _loaded(members: Sequence[Specialist], context: TrainingContext) -> list[ClosedPredictor] | None:
    """The trained members as the cascade will load them; None where they do not answer the same closed questions."""
    out = list[ClosedPredictor]()
    for member in members:
        folder = context.home / member.path
        card = read_card(folder)
        found = loader_of(card.kind)(StoredSpecialist(folder, card, settings_of(card), context.models_dir))
        if not isinstance(found, ClosedPredictor):
            return None
        out.append(found)
    return out if all(one.answers.questions == out[0].answers.questions for one in out) else None


def _read_all(
    members: Sequence[ClosedPredictor], examples: Sequence[TrainingExample], deadline: Deadline
) -> list[ClosedScores] | None:
    """Scores of all examples by each member; None where there is no time for that."""
    out = list[ClosedScores]()
    for member in members:
        parts = list[ClosedScores]()
        for start in range(0, len(examples), CHUNK):
            if deadline.passed:
                return None
            parts.append(member.scores([x.text for x in examples[start : start + CHUNK]]))
        log_ps = [np.concatenate(blocks) for blocks in zip(*(p.log_ps for p in parts), strict=True)]
        out.append(ClosedScores(log_ps, [n for p in parts for n in p.n_prompt_tokens]))
    return out
