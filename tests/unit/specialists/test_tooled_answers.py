"""What a decoder writes, with values from tools in the place of its own."""

from __future__ import annotations

from msgspec import structs
from tests.simulated_orders import CONTRACT, order

from deputize.core.subjects import Subjects
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.pointer_predictor import fit_tools
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.tooled_answers import with_tools

ROWS = [order(n) for n in range(60)]
SCHEMA = learn_schema(CONTRACT, [answer for _, answer in ROWS], Subjects([str(n) for n in range(60)], 2))
TOOLS = fit_tools(
    SCHEMA,
    [text for text, _ in ROWS],
    [answer for _, answer in ROWS],
    groups=[str(n) for n in range(60)],
    subjects=Subjects([str(n) for n in range(60)], 2),
)


def test_a_tool_decides_its_value_and_what_it_is_unsure_of_counts() -> None:
    assert [place.slot for place in TOOLS] == [1], "the total; codes have no table here"
    text, answer = order(700)
    wrote = RawPrediction({**answer, "total": 1.0}, RawConfidence(-0.2, 3.0, 4.0), 10, 5)
    found = with_tools(wrote, TokenizedText(text), SCHEMA, TOOLS)
    assert found.answer == answer
    assert found.raw_confidence.log_p < -0.2 and found.raw_confidence.min_margin <= 3.0
    assert (found.n_prompt_tokens, found.n_output_tokens) == (10, 5)


def test_what_the_model_wrote_never_stands_where_a_tool_has_no_value() -> None:
    _, answer = order(700)
    wrote = RawPrediction(answer, RawConfidence(-0.01, 9.0, 9.0))
    assert with_tools(wrote, TokenizedText("no number at all"), SCHEMA, TOOLS).answer is None
    assert (
        with_tools(wrote._replace(answer=None), TokenizedText("2 at 3.00 each"), SCHEMA, TOOLS).answer is None
    )
    unknown = wrote._replace(answer={"other": 1})
    assert with_tools(unknown, TokenizedText("2"), SCHEMA, TOOLS) is unknown
    assert with_tools(wrote, TokenizedText("2"), SCHEMA, {}).answer == answer
    assert structs.asdict(SCHEMA.slots[1])["role"] == "value"
