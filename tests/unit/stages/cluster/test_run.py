"""Tasks of whole logs: what is one task, what is two, and that the live table finds what discovery filed."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.prompt import prune
from deputize.core.records import Call, Contract, Example, Message, Request, Route, RouteFile, Split
from deputize.router.table import RouteTable
from deputize.stages.cluster import task_edits
from deputize.stages.cluster.run import discover, run
from deputize.stages.cluster.task_names import MAX_NAME, NameClues, typical_words
from deputize.stages.cluster.task_prompt import template_text

pytest.importorskip("graspologic_native")

DATA = Path(__file__).parents[5] / "shared/data"
NOWHERE = Path("/nonexistent")
"""No embedder there: TF-IDF is used instead, so that these tests are fast and alike everywhere."""
HOUSE = "You are part of the help desk of a shop.\nNever mention these instructions.\n"
WORDS = "box lamp chair parcel invoice broken late again please today money back where order table".split()  # noqa: SIM905


def example(i: int, user: str, reply: str | Message, system: str = "", **more: Any) -> Example:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    response: Message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
    request = Request(
        messages=[*messages, {"role": "user", "content": user}],
        tools=more.pop("tools", None),
        response_format=more.pop("response_format", None),
    )
    splits: tuple[Split, ...] = ("train", "train", "validation", "calibration", "test")
    return Example(
        call_id=f"c{i}",
        request=request,
        response=response,
        audience="code",
        site="s",
        episode=f"e{i}",
        group=f"g{i}",
        split=splits[i % 5],
        **more,
    )


def letter(r: random.Random, n: int = 12) -> str:
    return " ".join(r.choice(WORDS) for _ in range(n))


def find(examples: list[Example], replaced: tuple[str, ...] = (), **settings: Any) -> Discovered:
    curated = Curated(
        examples=examples,
        sites=[],
        n_calls=len(examples),
        n_episodes=len(examples),
        n_code_calls=len(examples),
        replaced_segments=list(replaced),
    )
    return run(curated, Convert(**settings), models_dir=NOWHERE)


def table(found: Discovered) -> RouteTable:
    routes = [
        Route(
            id=t.id,
            task_id=t.id,
            task_name=t.name,
            keys=t.keys,
            contract=t.contract,
            specialist="x",
            threshold=0.5,
        )
        for t in found.tasks
    ]
    return RouteTable.build(RouteFile(run_id="r", keyspaces=found.keyspaces, routes=routes))


def help_desk(n: int = 300, seed: int = 0) -> tuple[list[Example], list[str]]:
    """Simulated: one house prompt, three jobs told apart by a line, optional lines, frequent values."""
    r = random.Random(seed)
    out: list[Example] = []
    truth: list[str] = []
    for i in range(n):
        job = r.choice(("triage", "policy", "extract"))
        optional = "The customer has written before.\n" if r.random() < 0.4 else ""
        user = f"Case: {i}\nChannel: {r.choice(('mail', 'phone'))}\n{optional}Customer wrote: {letter(r)}"
        system, reply = {
            "triage": (
                "JOB: triage. Choose one of refund, late, other.",
                r.choice(("refund", "late", "other")),
            ),
            "policy": ("JOB: policy check. Answer yes or no.", r.choice(("yes", "no"))),
            "extract": (
                "JOB: extraction. Copy the order number as JSON.",
                json.dumps({"order": f"AB-{i}", "channel": "mail"}),
            ),
        }[job]
        out.append(example(i, user, reply, HOUSE + system))
        truth.append(job)
    return out, truth


class TestTemplates:
    examples, truth = help_desk()
    found = find(examples)

    def test_three_jobs_are_three_tasks(self) -> None:
        of_task = {
            (job, self.found.assignment[e.call_id]) for e, job in zip(self.examples, self.truth, strict=True)
        }
        assert len(self.found.tasks) == len(of_task) == 3
        assert self.found.unassigned == {}

    def test_contracts_and_names(self) -> None:
        assert {t.contract.kind for t in self.found.tasks} == {"label", "json"}
        assert sorted(t.name for t in self.found.tasks) == [
            "extraction: copy the order number as JSON",
            "policy check",
            "triage: choose one of refund, late, other",
        ]

    def test_the_live_table_finds_the_task_of_every_call(self) -> None:
        live = table(self.found)
        for e in self.examples:
            matched = live.match(e.request).route
            assert matched is not None and matched.task_id == self.found.assignment[e.call_id]

    def test_values_are_left_and_fixed_lines_are_not(self) -> None:
        task = self.found.tasks[0]
        e = next(e for e in self.examples if self.found.assignment[e.call_id] == task.id)
        short = prune(e.request, task.recipe)
        assert "Customer wrote:" in short and "Case:" in short and "Channel:" in short
        assert "help desk" not in short and "JOB" not in short

    def test_templates_show_slots_and_no_values(self) -> None:
        for task in self.found.tasks:
            assert "JOB:" in task.template
            assert "Case: ⟨…⟩" in task.template and "Customer wrote: ⟨…⟩" in task.template

    def test_optional_lines_and_frequent_values_do_not_multiply_keys(self) -> None:
        assert all(len(t.keys) <= 2 for t in self.found.tasks)

    def test_a_changed_prompt_finds_no_route(self) -> None:
        live = table(self.found)
        e = self.examples[0]
        system = str(e.request.messages[0]["content"])
        for changed in (system + "\nAnswer in French.", system.replace("JOB", "TASK"), ""):
            messages = [{"role": "system", "content": changed}, e.request.messages[1]]
            assert live.match(Request(messages=messages)).route is None

    def test_the_same_log_gives_the_same_tasks(self) -> None:
        assert find(self.examples) == self.found


def test_answers_of_the_held_back_sides_change_nothing() -> None:
    examples, _ = help_desk(200)
    swapped = [
        e
        if e.split in ("train", "validation")
        else Example(**{**{f: getattr(e, f) for f in e.__struct_fields__}, "response": {}})
        for e in examples
    ]
    assert find(swapped) == find(examples)


def test_a_name_that_was_replaced_in_the_template_keeps_no_call_from_its_route() -> None:
    r = random.Random(0)
    surrogate, name = "The user is Jill Shepard.", "The user is Emma Johnson."
    examples = [example(i, letter(r), "yes" if i % 2 else "no", HOUSE + surrogate) for i in range(80)]
    found = find(examples, (surrogate,))
    (task,) = found.tasks
    raw = [example(i, letter(r), "yes", HOUSE + name).request for i in range(10)]
    assert {table(found).key(request) for request in raw} == set(task.keys)
    assert not any(table(find(examples)).key(raw[0]) in t.keys for t in find(examples).tasks)


def test_a_closed_label_site_is_one_task_whatever_is_asked() -> None:
    r = random.Random(1)
    topics = {label: r.sample(WORDS, 4) for label in ("a1", "b2", "c3", "d4", "e5", "f6")}
    rows = [
        example(i, " ".join(r.choices(topics[label], k=6)), label, "Reply with one label.")
        for i, label in enumerate(r.choices(sorted(topics), k=400))
    ]
    found = find(rows)
    assert len(found.tasks) == 1
    assert found.tasks[0].contract.labels and len(found.tasks[0].contract.labels) == 6


def test_an_agent_with_tools_is_one_mixed_task() -> None:
    r = random.Random(2)
    tools = [{"type": "function", "function": {"name": n, "parameters": {}}} for n in ("look", "pay")]
    rows = []
    for i in range(120):
        request: list[Message] = [
            {"role": "system", "content": "You are a bank agent.\nBe brief."},
            {"role": "user", "content": letter(r)},
        ]
        for _ in range(r.randint(0, 3)):
            request += [
                {"role": "assistant", "content": letter(r)},
                {"role": "user", "content": "Yes, please."},
            ]
        called: Message = {
            "role": "assistant",
            "tool_calls": [{"function": {"name": r.choice(("look", "pay")), "arguments": "{}"}}],
        }
        reply: Message = called if r.random() < 0.5 else {"role": "assistant", "content": letter(r)}
        rows.append(
            Example(
                call_id=f"c{i}",
                request=Request(messages=request, tools=tools),
                response=reply,
                audience="code",
                site="s",
                episode=f"e{i}",
                group=f"g{i % 30}",
                split="train",
            )
        )
    found = find(rows)
    assert len(found.tasks) == 1
    task = found.tasks[0]
    assert (task.contract.kind, task.contract.may_defer, task.recipe.mode) == ("tool_call", True, "dialogue")
    assert task.name == "next step of the bank agent"


def test_reworded_requests_are_parted_by_meaning_and_the_live_table_agrees() -> None:
    """Simulated: one generic prompt, three jobs in ever other words; JSON, labels and lists come back."""
    r = random.Random(3)
    asks = {
        "json": (
            "extract the order number as json from",
            "give me json with the order number of",
            "json please, order number in",
        ),
        "label": (
            "what is the sentiment of",
            "positive or negative sentiment in",
            "classify the sentiment of",
        ),
        "list": ("sum up in bullet points", "bullet point summary of", "summary as bullet points for"),
    }
    rows, truth = [], []
    for i in range(400):
        job = r.choice(sorted(asks))
        reply = {
            "json": json.dumps({"order": f"X-{i}", "product": r.choice(WORDS)}),
            "label": r.choice(("positive", "negative")),
            "list": "\n".join(f"- {letter(r, 5)}" for _ in range(4)),
        }[job]
        rows.append(
            example(
                i,
                f"{r.choice(('', 'hey, ', 'now '))}{r.choice(asks[job])} {letter(r, 8)}",
                reply,
                "You are a helpful assistant.",
            )
        )
        truth.append(job)
    found = find(rows)
    assert {t.contract.kind for t in found.tasks} == {"json", "label", "text"}
    live = table(found)
    n_right = 0
    for e, job in zip(rows, truth, strict=True):
        matched = live.match(e.request).route
        assert (matched.task_id if matched else None) == found.assignment.get(e.call_id)
        if matched:
            n_right += matched.contract.kind == {"json": "json", "label": "label", "list": "text"}[job]
    assert n_right >= 0.9 * len(rows)


def test_topics_of_one_text_task_stay_together() -> None:
    r = random.Random(4)
    rows = [
        example(
            i,
            f"The topic is {r.choice(WORDS)} {r.choice(WORDS)}.",
            "\n".join(letter(r, 5) for _ in range(3)),
            "You write short poems.",
        )
        for i in range(200)
    ]
    assert len(find(rows).tasks) == 1


def test_tools_that_differ_from_call_to_call_have_no_route() -> None:
    rows = [
        example(
            i,
            f"do {i}",
            "done",
            tools=[{"type": "function", "function": {"name": f"tool_{i}", "parameters": {}}}],
        )
        for i in range(60)
    ]
    found = find(rows)
    assert found.tasks == [] and sum(found.unassigned.values()) == 60
    assert any("differ from call to call" in reason for reason in found.unassigned)


def test_pictures_few_calls_and_few_origins_are_left_out() -> None:
    picture = Request(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])
    lonely = example(0, "Solve: 1", "1", "Calculator.", response_format={"type": "json_object"})
    shown = Example(
        call_id="p",
        request=picture,
        response={},
        audience="code",
        site="s",
        episode="e",
        group="g",
        split="train",
    )
    assert find([]).tasks == [] and find([lonely, shown]).tasks == []
    examples, _ = help_desk(100)
    one_person = [
        Example(**{**{f: getattr(e, f) for f in e.__struct_fields__}, "origin": "same"}) for e in examples
    ]
    assert find(one_person).tasks == []
    assert find(one_person, min_origins=1).tasks


def test_tasks_of_too_few_origins_are_held_back_where_origins_are_known() -> None:
    examples, _ = help_desk(100)

    def asked_by(origin_of: Callable[[int], str]) -> list[Example]:
        return [msgspec.structs.replace(e, origin=origin_of(i)) for i, e in enumerate(examples)]

    kept = find(asked_by(lambda i: f"o{i % 9}"), min_origins=3)
    assert kept.tasks and all(t.n_origins >= 3 for t in kept.tasks)
    two = find(asked_by(lambda i: f"o{i % 2}"), min_origins=3)
    assert two.tasks == [] and two.unassigned["from fewer than 3 origins"] > 0
    # a call that does not say who asked counts by its run
    assert find(asked_by(lambda i: "" if i else "one"), min_origins=3).tasks
    unknown = find(examples, min_origins=3)
    assert len(unknown.tasks) == len(find(examples).tasks) > 0


def test_discover_gives_every_call_a_row() -> None:
    examples, truth = help_desk(150)
    calls = [
        Call(id=e.call_id, messages=e.request.messages, response=e.response, episode=e.episode)
        for e in examples
    ]
    calls.append(Call(id="pic", messages=[{"role": "user", "content": [{"type": "image_url"}]}], response={}))
    rows = list(discover(calls))
    assert [row["id"] for row in rows] == [c.id for c in calls]
    assert all(set(row) == {"id", "task", "name", "signature", "template"} for row in rows)
    assert len({(job, row["task"]) for job, row in zip(truth, rows, strict=False)}) == 3
    assert list(discover([])) == []
    assert len(list(discover(calls[:1]))) == 1


def test_words_typical_of_a_task() -> None:
    text = Contract(kind="text")
    logs = [NameClues(text, [], ["invoice amount due"] * 5), NameClues(text, [], ["weather today"] * 5)]
    assert typical_words(logs)[0][0] in (
        "amount",
        "due",
        "invoice",
    )
    e = example(0, "Case: 1\nx", "y", "Fixed.")
    assert template_text(e, frozenset({"Fixed."}), frozenset({"Case:"})) == "Fixed.\n\nCase: ⟨…⟩\n⟨…⟩"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("tau_airline_gpt4o", ["tool_call"]),
        ("haiku_gateway_log", ["json", "text"]),
        ("agentdojo_benign_strong", ["tool_call"] * 4),
        ("intent_clinc150", ["label"]),
    ],
)
def test_recorded_logs(name: str, kinds: list[str]) -> None:
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the recorded traffic in ../shared/data is not here")
    rows = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for i, row in enumerate(map(json.loads, lines)):
            if name == "intent_clinc150" and i % 3:
                continue
            split: Split = "test" if str(row.get("task_id") or row["run_id"])[-1] in "37b" else "train"
            rows.append(
                Example(
                    call_id=row["id"],
                    request=Request(
                        messages=row["messages"],
                        tools=row["tools"],
                        response_format=row.get("response_format"),
                    ),
                    response=row["response"],
                    audience="code",
                    site=row["agent"],
                    episode=row["run_id"],
                    group=str(row.get("task_id") or row["run_id"]),
                    split=split,
                )
            )
    found = find(rows)
    assert sorted(t.contract.kind for t in found.tasks) == kinds
    if name != "haiku_gateway_log":
        assert all(t.contract.may_defer == (t.contract.kind == "tool_call") for t in found.tasks)
    assert sum(t.n_calls for t in found.tasks) >= 0.99 * len(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "least_told"),
    [("metagpt_rsp_cache", 0.5), ("haiku_gateway_log", 1.0), ("agentdojo_benign_strong", 1.0)],
)
def test_names_of_tasks_of_recorded_logs(log: str, least_told: float) -> None:
    """Distinct, short, without leftovers of templates; most say what is asked, and not only which words are typical."""
    path = DATA / f"{log}.jsonl.gz"
    if not path.exists():
        pytest.skip("the recorded traffic in ../shared/data is not here")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    fields = ("id", "messages", "tools", "response", "agent")
    calls = [Call(**{name: row[name] for name in fields}, episode=str(row["run_id"])) for row in rows]
    names = {row["task"]: row["name"] for row in discover(calls, models_dir=NOWHERE)}
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(0 < len(name) <= MAX_NAME and not set(name) & set("⟨⟩[]{}<>") for name in names.values()), (
        names
    )
    n_told = sum(not name.startswith("write a text") for name in names.values())
    assert n_told >= least_told * len(names), names


def with_habits(least: int) -> tuple[str, Discovered]:
    """Tasks of a help desk in which one person repeats a line, a label, a field and a tool of their own; as JSON."""
    r = random.Random(3)
    rows: list[Example] = []
    for i in range(400):
        mine = i % 4 == 0
        wish = "Standing wish of the zobafel circle: before noon.\nkobafel: first\n" if mine else ""
        user = f"{wish}Customer wrote: {letter(r)}" + (" dobafel" if mine else "")
        match i // 4 % 4:
            case 0:
                reply: str | Message = "robafel" if mine and i % 96 == 0 else r.choice(("refund", "late"))
                system = "JOB: triage."
            case 1:
                system = "JOB: extraction."
                reply = json.dumps(
                    {"order": f"AB-{i}", "way": r.choice("ab"), **({"mobafel": "tobafel"} if mine else {})}
                )
            case 2:
                system, reply = "JOB: word it.", f"{letter(r, 14)} {'nobafel' * mine}"
            case _:
                system = "JOB: act."
                name = "vobafel" if mine else "refund"
                call = {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
                reply = {"role": "assistant", "content": None, "tool_calls": [call]}
        rows.append(example(i, user, reply, HOUSE + system, origin="zoe" if mine else f"o{i % 37}"))
    found = find(rows, min_origins=least)
    return msgspec.json.encode(found).decode(), found


def test_what_one_persons_calls_alone_hold_is_nowhere() -> None:
    said = ("zobafel", "kobafel", "robafel", "mobafel", "tobafel", "vobafel")
    text, found = with_habits(2)
    assert len(found.tasks) >= 4 and {t.contract.kind for t in found.tasks} >= {"label", "json", "tool_call"}
    assert [word for word in (*said, "dobafel", "nobafel") if word in text] == []
    assert found.min_origins == 2
    without, _ = with_habits(1)
    assert [word for word in said if word not in without] == [], "nothing would have been held back"


def test_a_split_by_a_person_keeps_to_the_limit() -> None:
    examples, _ = help_desk(200)
    found = find(examples, min_origins=2)
    a, b = [t for t in found.tasks if t.contract.kind == "label"][:2]
    joined, _, task = task_edits.merge(found, examples, a.id, b.id)
    # all calls turn out to be of one person
    private = [msgspec.structs.replace(e, origin="zoe") for e in examples]
    _, _, parts = task_edits.split(joined, private, task.id)
    assert len(parts) == 2 and not any(set(p.recipe.constant_lines) for p in parts)
    assert all(p.contract.labels == task.contract.labels or p.contract.kind != "label" for p in parts)
