"""A small language model as the judge, over HTTP: both orders, its budget, verdicts that cannot be read, and a judge
that is gone.

SmolLM2-135M is no good judge; what is tested is that nothing but its verdicts counts, whatever they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from deputize.core.config import JudgeSettings
from deputize.core.judging import INSTRUCTION, is_no_worse, question, verdict_of
from deputize.core.records import Call, Message
from deputize.locations import models_path
from deputize.pipeline.certify_on_engine import judge_client
from deputize.specialists import catalogue
from deputize.specialists.model_cache import MODELS
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf
from deputize.stages.evaluate.judge import MAX_FAILURES, Judge
from deputize.testing.scripted_llm import ScriptedUpstream, in_thread

SMALL = "SmolLM2-135M-Instruct"
VERDICTS, NOT_THE_FIRST = 'root ::= "1" | "2" | "="', 'root ::= "2" | "="'
"""What the model may write. Free to choose it always names the first answer, so that one order decides; without that
sign it is asked in both."""
N_PAIRS = 8


def call(n: int) -> Call:
    return Call(
        id=f"c{n}",
        messages=[{"role": "user", "content": f"What do {n + 2} parcels at 3 EUR each cost?"}],
        response={"role": "assistant", "content": f"They cost {3 * (n + 2)} EUR."},
    )


def told(n: int) -> str:
    return str(call(n).response["content"])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LlamaCppEngine:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    if not catalogue.is_fetched(SMALL, models_path()):
        pytest.skip(f"{SMALL} is not fetched: deputize models fetch {SMALL}")
    path = tmp_path_factory.mktemp("judge") / "judge.gguf"
    write_gguf(MODELS.get(catalogue.model_path(SMALL, models_path())), path, name="judge", precision="f32")
    return LlamaCppEngine(path, context=1024)


def answers_of(engine: LlamaCppEngine, grammar: str) -> Callable[[dict[str, Any]], Message]:
    def reply(body: dict[str, Any]) -> Message:
        turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in body["messages"]]
        prompt = "".join(turns) + "<|im_start|>assistant\n"
        return {"role": "assistant", "content": engine.write(prompt, grammar=grammar, most=8)}

    return reply


@contextmanager
def judging(
    engine: LlamaCppEngine, max_questions: int, grammar: str = VERDICTS
) -> Iterator[tuple[Judge, ScriptedUpstream]]:
    with in_thread(ScriptedUpstream(answers_of(engine, grammar))) as server:
        client = judge_client(JudgeSettings(base_url=server.url, model=SMALL))
        assert client is not None
        with closing(client):
            yield Judge(client, client.model, max_questions), server


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("grammar", [VERDICTS, NOT_THE_FIRST], ids=["free", "not the first"])
def test_verdicts_of_a_real_model_count_in_both_orders_and_within_the_budget(
    engine: LlamaCppEngine, grammar: str
) -> None:
    said = answers_of(engine, grammar)

    def verdict(n: int, first: str, second: str) -> str:
        asked = question(call(n).messages, first, second)
        messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": asked}]
        return str(said({"messages": messages})["content"])

    with judging(engine, 1000, grammar) as (judge, server):
        passed = 0
        for n in range(N_PAIRS):
            answer = f"{3 * (n + 2)} EUR in all."
            before = server.n_requests
            found = judge.no_worse(call(n), answer, told(n), "controls")
            last = is_no_worse(verdict_of(verdict(n, told(n), answer)), answer_is_first=False)
            first = is_no_worse(verdict_of(verdict(n, answer, told(n))), answer_is_first=True)
            assert found is (last and first) and server.n_requests - before == 1 + last
            passed += found
        bodies = [json.loads(body["messages"][1]["content"]) for body in server.requests]
        assert {told(0), "6 EUR in all."} == {bodies[0]["answer_1"], bodies[0]["answer_2"]}
        assert grammar == VERDICTS or judge.n_questions > judge.n_pairs, "both orders were asked"
        assert (judge.n_pairs, judge.n_unjudged, judge.n_questions) == (N_PAIRS, 0, server.n_requests)
        evidence = judge.evidence([call(n) for n in range(N_PAIRS)], [(call(0), "6 EUR.")])
        assert evidence.n_controls == N_PAIRS and evidence.n_labelled == 1
        print(f"{SMALL}: {passed} of {N_PAIRS} passed; {evidence.in_words()}")  # noqa: T201 - figures for docs/results.md
    with judging(engine, 5, grammar) as (judge, server):
        found_N = [judge.no_worse(call(n), "no", told(n), "controls") for n in range(N_PAIRS)]
        assert judge.n_questions <= 5 and None in found_N
        assert judge.n_unjudged == sum(one is None for one in found_N)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1800)
def test_what_a_real_model_writes_freely_is_read_as_a_verdict_or_counts_as_none(
    engine: LlamaCppEngine,
) -> None:
    with judging(engine, 1000, grammar="") as (judge, server):
        found = [judge.no_worse(call(n), "It costs nothing.", told(n), "controls") for n in range(3)]
        assert judge.n_pairs + judge.n_unjudged == 3 and judge.n_unjudged == sum(one is None for one in found)
        assert server.n_requests == judge.n_questions
    with in_thread(ScriptedUpstream(answers_of(engine, VERDICTS))) as server:
        url = server.url
    client = judge_client(JudgeSettings(base_url=url, model=SMALL))
    assert client is not None
    with closing(client):  # the server is gone: a few questions fail, then none is asked
        judge = Judge(client, client.model, 1000)
        assert [judge.no_worse(call(n), "no", told(n), "controls") for n in range(6)] == [None] * 6
    assert judge.n_questions == MAX_FAILURES
