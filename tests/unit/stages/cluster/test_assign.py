"""Every call is assigned by its request alone; what has no task is counted with the reason."""

from __future__ import annotations

from deputize.core.progress import silent
from deputize.core.records import Example, KeySpace, Request
from deputize.core.signature import signature
from deputize.core.template_key import TemplateKeys
from deputize.stages.cluster.assign import UNSEEN, VARYING_TOOLS, assign

LINE = "Sort the mail below."


def example(i: int, text: str, **more: object) -> Example:
    request = Request(messages=[{"role": "user", "content": text}], **more)  # type: ignore[arg-type]
    return Example(
        call_id=f"c{i}",
        request=request,
        response={"role": "assistant", "content": "spam"},
        audience="code",
        site="s",
        episode=f"e{i // 2}",
        group=f"e{i // 2}",
        origin="anna" if i < 2 else "",
    )


def test_calls_are_assigned_and_counted_and_the_others_have_a_reason() -> None:
    log = [example(i, f"{LINE}\nmail {i}") for i in range(4)]
    space = KeySpace(signature=signature(log[0].request), lines=[LINE])
    key = TemplateKeys([space]).key(log[0].request)
    other = TemplateKeys([space]).key(example(9, "no line of it").request)
    picture = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    log += [
        example(4, "no line of it"),
        example(5, LINE, tools=[{"type": "function", "function": {"name": "f"}}]),
        example(6, picture),  # type: ignore[arg-type]
    ]
    done = assign(log, [space], {key: "t1"}, {other: "too few"}, silent)
    assert done.task_of == dict.fromkeys(("c0", "c1", "c2", "c3"), "t1")
    counts = done.counts["t1"]
    assert (counts.n_calls, counts.episodes, counts.origins) == (4, {"e0", "e1"}, {"anna", "e1"})
    assert done.unassigned == {"too few": 1, VARYING_TOOLS: 1, "images or sound": 1}
    assert assign(log[4:5], [space], {key: "t1"}, {}, silent).unassigned == {UNSEEN: 1}
