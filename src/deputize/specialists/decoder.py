"""A language model that writes an answer slot by slot, greedily, with others, every decision inside its closed set.

Tokens that can only be one thing (the rest of a label, the break after it) are read together and never sampled. Values
are mostly copied out of the prompt, so what follows there is read on trial, several tokens in one pass, and kept as far
as the model would have written the same: the answer is that of plain greedy decoding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Answer
from deputize.core.subjects import Subjects
from deputize.specialists.answer_forms import Form, form_of
from deputize.specialists.answer_row import AnswerRow, AnswerRules, Draw
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema
from deputize.specialists.base import RawPrediction
from deputize.specialists.classification_head import batches
from deputize.specialists.joint_writing import MAX_TRIAL, JointWriting, WrittenAnswer
from deputize.specialists.kept_forms import KeptForm, SlotKey, read_forms, shared_forms, write_forms
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_rows import LlamaRows, LoadedAdapter, ModelRows, TransformersRows
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import read_card, settings_of
from deputize.specialists.tuned_model import load_tuned_model, release_tuned_model

log = logging.getLogger("deputize.engine")

DECODER_VERSION = 3
"""Of the arithmetic from a prompt to an answer and its confidence (layers, attention, scores of tokens). It is raised
with every change after which a bit of them may be another: certificates name it, and one of another version is refused
like that of another engine."""


MOST_SCHEMAS = 256
"""Of requests that bring their own, whose forms of values written before are kept."""
MAX_WITH_FORMS = 500
"""Answers of train that forms are learned from."""
WARM_PROMPT, WARM_TOKENS = 64, 4
"""Tokens that are read and written before the first answer."""


class DecoderPredictor:
    """Predicts answers by decoding."""

    kind = "decoder"

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        schema: AnswerSchema,
        max_tokens: int,
        max_slot_tokens: int,
        max_trial: int = MAX_TRIAL,
        *,
        write_free_slots: bool = True,
        forms: Sequence[KeptForm] = (),
    ) -> None:
        self.base, self.adapter, self.schema = base, adapter, schema
        self.max_tokens, self.max_slot_tokens, self.max_trial = max_tokens, max_slot_tokens, max_trial
        self.write_free_slots = write_free_slots
        """Slots that are not compared stay empty where this is False."""
        self.forms = list(forms)
        """Of values in training, from which the first ones are guessed."""
        self.n_passes = 0
        """Passes through the model since it was loaded, without those over prompts."""
        self.n_read = 0
        """Tokens read since it was loaded."""
        self._rules = self._new_rules()
        self._by_schema: dict[bytes, AnswerRules] = {}
        """Of requests that bring their own, the one used last at the end."""
        self._loaded: LoadedAdapter | None = None

    def _new_rules(self) -> AnswerRules:
        return AnswerRules(
            self.base,
            self.schema,
            self.max_slot_tokens,
            write_free_slots=self.write_free_slots,
            forms=self.forms,
        )

    def know_forms(self, texts: Sequence[str], answers: Sequence[Answer], subjects: Subjects) -> None:
        """Learns the forms of values from answers that the specialist was trained on; answers stay the same.

        Args:
            texts: prompts.
            answers: to each.
            subjects: whose these are.
        """
        some = slice(0, MAX_WITH_FORMS)
        prompts = self.base.prompt_ids(texts[some], self.max_tokens)
        values = [
            self._forms_of(prompt, answer) for prompt, answer in zip(prompts, answers[some], strict=True)
        ]
        self.forms = shared_forms(values, subjects._replace(names=subjects.names[some]))
        self._rules = self._new_rules()

    def _forms_of(self, prompt: Sequence[int], answer: Answer) -> dict[SlotKey, Form]:
        builder, out = AnswerBuilder(self.schema), dict[SlotKey, Form]()
        for slot, text in self.schema.segments(answer) or ():
            if slot.role != "decision":
                out[builder.action, slot.name] = form_of(slot_ids(self.base, text)[:-1], prompt)
            builder.put(text)
        return out

    def without_free_slots(self) -> DecoderPredictor:
        """The same predictor with slots left empty that are not compared."""
        return DecoderPredictor(
            self.base,
            self.adapter,
            self.schema,
            self.max_tokens,
            self.max_slot_tokens,
            self.max_trial,
            write_free_slots=False,
            forms=self.forms,
        )

    @property
    def engine(self) -> str:
        """The precision, the version of the decoder and whose layers read, as certificates name them."""
        layers = "own layers" if self._is_stacked else "transformers"
        return f"{self.base.engine}, decoder {DECODER_VERSION}, {layers}"

    @property
    def depends_on_batch(self) -> bool:
        """True where an answer may differ with what else is being written."""
        if self._is_stacked:
            return self.base.depends_on_batch and not self.base.stack.is_the_same_in_company
        return self.base.depends_on_batch

    def release(self) -> None:
        """Frees the adapter, or the whole tuned model."""
        self._loaded = None
        release_tuned_model(self.base, self.adapter)

    def save(self, folder: Path) -> None:
        """Writes the forms; the adapter or the tuned model is all there is besides."""
        write_forms(folder, self.forms)

    def begin(self) -> JointWriting:
        """Answers of this base model that are to be written together, none of them yet."""
        rows: ModelRows = LlamaRows(self.base.stack) if self._is_stacked else TransformersRows(self.base)
        return JointWriting(self.base, rows, self.max_trial)

    def to_write(
        self,
        text: str,
        told: Callable[[RawPrediction], None],
        waits: Callable[[], bool] = lambda: True,
    ) -> WrittenAnswer:
        """The answer to a prompt, to be added to what `begin` of this base gave.

        Args:
            text: the prompt.
            told: called with the answer.
            waits: False once nobody waits for it.
        """
        (prompt,) = self.base.prompt_ids([text], self.max_tokens)
        return self._answer(prompt, told, waits)

    def predict(self, texts: Sequence[str], tokens: int = 4096) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return self._predict(texts, [self._rules] * len(texts), tokens)

    def predict_each(
        self, texts: Sequence[str], schemas: Sequence[AnswerSchema], tokens: int = 4096
    ) -> list[RawPrediction]:
        """One prediction per text, in order, each in a schema of its own."""
        return self._predict(texts, [self._rules_of(schema) for schema in schemas], tokens)

    def _rules_of(self, schema: AnswerSchema) -> AnswerRules:
        """The rules of a schema; those used last are kept."""
        key = msgspec.json.encode(schema)
        rules = self._by_schema.pop(key, None) or self._rules.of_schema(schema)
        self._by_schema[key] = rules
        if len(self._by_schema) > MOST_SCHEMAS:
            del self._by_schema[next(iter(self._by_schema))]
        return rules

    def _predict(
        self, texts: Sequence[str], rules: Sequence[AnswerRules], tokens: int
    ) -> list[RawPrediction]:
        if not self._is_stacked:
            self.base.use(self.adapter)
        prompts = self.base.prompt_ids(texts, self.max_tokens)
        out: dict[int, RawPrediction] = {}
        for batch in batches([len(p) for p in prompts], tokens):
            writing = self.begin()
            writing.add(
                [
                    WrittenAnswer(AnswerRow(rules[i], prompts[i]), self._adapter, _into(out, i), lambda: True)
                    for i in batch
                ]
            )
            writing.finish()
            self.n_passes += writing.n_passes
            self.n_read += writing.n_read
        return [out[i] for i in range(len(texts))]

    def predict_drawn(self, text: str, draws: Sequence[Draw | None]) -> list[RawPrediction]:
        """Several answers to one prompt, which is read once.

        Args:
            text: the prompt.
            draws: for each answer what chooses its tokens; None: the likeliest.
        """
        if not self._is_stacked:
            self.base.use(self.adapter)
        (prompt,) = self.base.prompt_ids([text], self.max_tokens)
        # with a beginning of its own, the whole prompt is what its answers share
        adapter, out = LoadedAdapter(self._adapter.pack), dict[int, RawPrediction]()
        writing = self.begin()
        writing.add(
            [
                WrittenAnswer(AnswerRow(self._rules, prompt, draw), adapter, _into(out, i), lambda: True)
                for i, draw in enumerate(draws)
            ]
        )
        writing.finish()
        return [out[i] for i in range(len(draws))]

    def _answer(
        self, prompt: Sequence[int], told: Callable[[RawPrediction], None], waits: Callable[[], bool]
    ) -> WrittenAnswer:
        return WrittenAnswer(AnswerRow(self._rules, prompt), self._adapter, told, waits)

    @property
    def written_with(self) -> LanguageModel | None:
        """The base model, where answers may be written with those of its other adapters; else None."""
        return self.base if self._is_stacked and not self.depends_on_batch else None

    def get_ready(self) -> None:
        """Does ahead of the first answer what is done once: packs the adapter, and tries the arithmetic of this
        machine."""
        if self._is_stacked and self._adapter and self.base.depends_on_batch:
            log.info("%s %s", self.engine, "one by one" if self.depends_on_batch else "in company")

    def warm_up(self, schema: AnswerSchema | None = None) -> None:
        """Reads and writes a few tokens, without a trace in what later trials and prompts begin with.

        Args:
            schema: of an answer, where requests bring their own; None: that of the task.
        """
        if not self._is_stacked:
            self.base.use(self.adapter)
        rules = AnswerRules(
            self.base, schema or self.schema, WARM_TOKENS, write_free_slots=self.write_free_slots
        )
        row = AnswerRow(rules, [self.base.newline] * WARM_PROMPT)
        writing = self.begin()
        writing.add([WrittenAnswer(row, LoadedAdapter(self._adapter.pack), lambda one: None, lambda: True)])
        for _ in range(WARM_TOKENS):
            writing.step()

    @cached_property
    def _is_stacked(self) -> bool:
        return self.base.can_stack and not self.base.stack.why_no_pack(self.adapter)

    @property
    def _adapter(self) -> LoadedAdapter:
        if self._loaded is None:
            self._loaded = LoadedAdapter(self.base.stack.pack(self.adapter) if self._is_stacked else None)
        return self._loaded


def _into(out: dict[int, RawPrediction], at: int) -> Callable[[RawPrediction], None]:
    return lambda prediction: out.__setitem__(at, prediction)


MEMBER_FOLDER = "member"
"""Of a specialist that is a decoder with something done around it."""


def load_member_decoder(stored: StoredSpecialist) -> DecoderPredictor:
    """The decoder inside a stored specialist that does more with it.

    Raises:
        BadInput: there is none, or its base has changed since training.
        MissingExtra: the base model is not fetched, or a package is not installed.
    """
    folder = stored.folder / MEMBER_FOLDER
    card = read_card(folder)
    if card.kind != DecoderPredictor.kind:
        raise BadInput(f"{folder} holds no decoder but a specialist of the kind {card.kind}")
    return load_decoder(StoredSpecialist(folder, card, settings_of(card), stored.models_dir, stored.device))


def load_decoder(stored: StoredSpecialist) -> DecoderPredictor:
    """The predictor of a stored specialist of kind "decoder"."""
    base, adapter = load_tuned_model(stored)
    settings = stored.settings
    predictor = DecoderPredictor(
        base,
        adapter,
        settings.schema,
        settings.max_tokens,
        settings.max_slot_tokens,
        forms=read_forms(stored.folder),
    )
    predictor.get_ready()
    return predictor
