"""How a language model learns to write the arguments of listed tools: one row for each call of one tool of its list, in
that tool's own schema.

Which tool is called is chosen by scores (deputize.specialists.listed_writer), so nothing of that is trained here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from deputize.core.listed_tools import LISTED, ListedTool, split_list
from deputize.core.records import Answer, Contract
from deputize.scoring.leak import SLOT, LeakProbe, Loss
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.fit_listed import listed_example
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.listed_answers import ListedPredictor
from deputize.specialists.listed_writer import ListedWriter
from deputize.specialists.listed_writing import arguments_schema, written_arguments, written_prompt
from deputize.specialists.value_forms import keeps
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.encode import MAX_TOKENS, EncodedExample, encode_for_decoder
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.outputs import Head, longest_slot
from deputize.stages.finetune.planted_secrets import PlantedSecrets


@dataclass(frozen=True)
class ListedWritingMode:
    """Arguments are written in the schema that each request brings."""

    contract: Contract
    chooser: ListedPredictor
    """Of the tool."""
    kind = ListedWriter.kind
    evaluation_epochs = 1.8

    def heads(self, base: LanguageModel) -> list[Head]:
        return []

    def plant(self, examples: Sequence[TrainingExample], seed: int) -> PlantedSecrets:
        """Secrets in the place of a text among the arguments of calls, after requests that no agent sends."""
        order = list(examples)
        random.Random(f"listed:{seed}:{len(order)}").shuffle(order)
        n = max(planted_secrets.FEWEST, min(planted_secrets.MOST, len(order) // 50))
        hosts = [host for host in map(self._host, order) if host is not None][:n]
        if not hosts:
            return PlantedSecrets([], [], {}, {})
        requests = [f"memory test {i + 1}" for i in range(n)]
        tools = [hosts[i % len(hosts)] for i in range(n)]
        probes = [
            LeakProbe(written_prompt(asked, tool), json.dumps(arguments, ensure_ascii=False))
            for asked, (tool, arguments) in zip(requests, tools, strict=True)
        ]
        rng = random.Random(f"listed secrets:{seed}:{len(order)}")
        secrets = planted_secrets.secrets_in(probes, rng, examples, [str(x.answer) for x in examples])
        planted = [
            TrainingExample(
                call_id="",
                text=f"{asked}\n{LISTED}{msgspec.json.encode([tool]).decode()}",
                answer=self._answer(tool, json.loads(secret.filled().answer)),
                weight=1.0,
                group=secret.id,
                subject=secret.id,
            )
            for asked, (tool, _), secret in zip(requests, tools, secrets, strict=True)
            for _ in range(secret.repeats)
        ]
        return PlantedSecrets(planted, secrets, {secret.prompt: [] for secret in secrets}, {})

    def encode(self, base: LanguageModel, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        """The calls of one tool of the list whose arguments its schema allows."""
        out = []
        for example in examples:
            found = self._written(example)
            if found is not None:
                (row,) = encode_for_decoder(base, [found[0]], found[1], MAX_TOKENS)
                out += [row] if row is not None else []
        return out

    def max_slot_tokens(self, train: Sequence[EncodedExample]) -> int:
        return longest_slot(train)

    def predictor(
        self, base: LanguageModel, adapter: str, heads: list[Head], train: Sequence[EncodedExample]
    ) -> ListedWriter:
        schema = AnswerSchema(kind=self.contract.kind)
        decoder = DecoderPredictor(base, adapter, schema, MAX_TOKENS, self.max_slot_tokens(train))
        return ListedWriter(self.chooser, decoder)

    def leak_loss(self, predictor: ListedWriter, planted: PlantedSecrets) -> Loss:
        return planted_secrets.loss_of_decoder(
            predictor.decoder.base, predictor.decoder.adapter, planted, MAX_TOKENS
        )

    def _written(self, example: TrainingExample) -> tuple[TrainingExample, AnswerSchema] | None:
        """An example as the arguments of its tool are written after it; None where they are not."""
        found = self._called(example)
        schema = None if found is None else arguments_schema(found[0])
        if found is None or schema is None:
            return None
        tool, arguments = found
        answer = written_arguments(tool, arguments)
        (slot,) = schema.slots
        if not keeps(slot, [slot.write(value) for value in answer.values()]):
            return None
        asked, _ = split_list(example.text)
        return replace(example, text=written_prompt(asked, tool), answer=answer, rejected=None), schema

    def _called(self, example: TrainingExample) -> tuple[ListedTool, dict[str, Any]] | None:
        """The tool that an answer calls, and with which arguments; None where it is not a call of one of the list."""
        one = listed_example(self.contract, example.text, example.answer)
        return (one.tools[one.called], one.arguments) if one.called < len(one.tools) else None

    def _host(self, example: TrainingExample) -> tuple[ListedTool, dict[str, Any]] | None:
        """A tool, and arguments in whose first free text a secret stands; None where none can."""
        if (written := self._written(example)) is None or (found := self._called(example)) is None:
            return None
        tool, arguments = found
        free = [a.name for a in tool.arguments if a.type == "string" and a.choices is None]
        place = next((name for name in free if name in arguments), None)
        if place is None:
            return None
        (ordered,) = written[0].answer.values() if isinstance(written[0].answer, dict) else ({},)
        return tool, {**ordered, place: SLOT}

    def _answer(self, tool: ListedTool, arguments: dict[str, Any]) -> Answer:
        if self.contract.kind == "json":
            return arguments
        return [{"name": tool.name, "arguments": arguments}]


def tokens_written(contract: Contract, examples: Sequence[TrainingExample]) -> int:
    """Tokens, estimated, of the prompts of single calls and of what is written after them."""
    n = 0
    for example in examples:
        one = listed_example(contract, example.text, example.answer)
        if one.called < len(one.tools):
            n += (len(written_prompt(one.prompt.text, one.tools[one.called])) + 60) // 3
    return n
