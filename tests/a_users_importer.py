"""An importer as a user would write one: a log with one question and one answer in each object."""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext


class QuestionImporter:
    """{"question": text, "answer": text, "asker": id}."""

    name = "questions"
    description = 'objects {"question": ..., "answer": ...}'

    def sniff(self, row: dict[str, Any]) -> bool:
        return "question" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        question, answer, asker = (row.get(key, "") for key in ("question", "answer", "asker"))
        if not (isinstance(question, str) and question and isinstance(answer, str) and answer):
            return context.skip("no question or no answer")
        return Call(
            id="",
            agent=context.agent,
            messages=[{"role": "user", "content": question}],
            response={"role": "assistant", "content": answer},
            origin=context.pseudonym(asker, "default") if isinstance(asker, str) and asker else "",
        )
