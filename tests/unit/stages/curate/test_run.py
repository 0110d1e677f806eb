"""Curation as a whole, on small logs with planted personal data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.contracts import agree, answer_of, text_of
from deputize.core.records import Call, Example, Message, Outcome, decode, encode
from deputize.privacy.detectors.base import Detector, Span
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.cluster.output_contract import infer_contract
from deputize.stages.collect.audience import infer_sites
from deputize.stages.collect.episodes import link_episodes
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.curate.review import DroppedCall, dropped_calls
from deputize.stages.curate.run import CurateOptions, run

DATA = Path(__file__).parents[5] / "shared" / "data"


KEY = b"k" * 32


RULES: list[Detector] = [DeobfuscatingDetector(RuleDetector())]


FIRST = [
    "Mia",
    "Omar",
    "Sofia",
    "Ivan",
    "Noah",
    "Emma",
    "Liam",
    "Olivia",
    "Lucas",
    "Chloe",
    "Ethan",
    "Amelia",
]


LAST = [
    "Silva",
    "Rossi",
    "Kovacs",
    "Muller",
    "Garcia",
    "Santos",
    "Johnson",
    "Smith",
    "Davis",
    "Lopez",
    "Martin",
]


SYSTEM = "You are the desk of Example Air, call +1 (800) 555-0100 or write to desk@example-air.com.\nAnswer as JSON with intent, one of: book, cancel."


TOOL = {
    "type": "function",
    "function": {
        "name": "find_user",
        "parameters": {
            "type": "object",
            "properties": {"user_id": {"type": "string"}},
            "required": ["user_id"],
        },
    },
}


def curate(calls: list[Call], **settings: Any) -> Curated:
    return run(calls, infer_sites(calls), Convert(**settings), key=KEY, detectors=DetectorSet(RULES))


def person(n: int) -> tuple[str, str]:
    return FIRST[n % len(FIRST)], LAST[n % len(LAST)]


def log(n_episodes: int = 60) -> list[Call]:
    """Two steps an episode: an intent as JSON, then a tool call with the person's log-in."""
    calls: list[Call] = []
    for n in range(n_episodes):
        first, last = person(n)
        login = f"{first}_{last}_{1000 + 7 * n}".lower()
        said = f"My name is {first} {last}, user ID is {login}, phone (212) 555-{2000 + n}. Please {'book' if n % 2 else 'cancel'} flight {100 + n}."
        start: list[Message] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}]
        answer = {
            "role": "assistant",
            "content": json.dumps({"intent": "book" if n % 2 else "cancel", "name": f"{first} {last}"}),
        }
        act = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t",
                    "type": "function",
                    "function": {
                        "name": "find_user",
                        "arguments": json.dumps({"user_id": login, "phone": f"212555{2000 + n}"}),
                    },
                }
            ],
        }
        common: dict[str, Any] = {
            "agent": "desk",
            "episode": f"run-{login}",
            "group": f"task-{login}",
            "outcome": Outcome(success=n % 5 != 0),
        }
        calls.append(Call(id=f"c{n}-0", messages=start, response=answer, step=0, site="intent", **common))
        calls.append(
            Call(
                id=f"c{n}-1",
                messages=[*start, answer],
                response=act,
                step=1,
                site="act",
                tools=[TOOL],
                **common,
            )
        )
    return calls


@pytest.fixture(scope="module")
def curated() -> Curated:
    return curate(log())


class Stored:
    """A log that is read again each time, as from a store."""

    def __init__(self, calls: list[Call]) -> None:
        self.lines = [encode(c) for c in calls]
        self.n_read = 0

    def __iter__(self) -> Iterator[Call]:
        self.n_read += 1
        return (decode(line, Call) for line in self.lines)


def interleaved() -> list[Call]:
    """Episodes that run at the same time, some that ask the same, some answers alike, a secret, a date of birth."""
    calls = log(40)
    calls = calls[::2] + calls[1::2]
    same = [
        Call(
            id=f"same{i}",
            messages=calls[0].messages,
            response=calls[i % 3].response,
            agent="desk",
            site="intent",
            episode=f"other-{i}",
        )
        for i in range(6)
    ]
    born = [
        Call(
            id=f"born{i}",
            messages=[{"role": "user", "content": f"Born on 1980-02-{i + 1:02d}.\nBook {{it}}."}],
            response={"role": "assistant", "content": f'{{"dob": "1980-02-{i + 1:02d}", "intent": "book"}}'},
            agent="desk",
            site="intent",
        )
        for i in range(20)
    ]
    return [
        msgspec.structs.replace(c, origin=f"o{i % 5}" if i % 9 else "")
        for i, c in enumerate([*calls, *same, *born])
    ]


def dropped_of(curated: Curated) -> list[DroppedCall]:
    return list(dropped_calls([*curated.examples, curated]))


def test_nothing_personal_is_left_anywhere(curated: Curated) -> None:
    everything = encode(curated).decode()
    for n in range(60):
        first, last = person(n)
        for value in (f"{first} {last}", f"{first}_{last}_".lower(), f"555-{2000 + n}", f"212555{2000 + n}"):
            assert value not in everything


def test_values_agree_between_prompt_history_arguments_and_answer(curated: Curated) -> None:
    by_id = {e.call_id: e for e in curated.examples}
    for n in range(60):
        said = text_of(by_id[f"c{n}-0"].request.messages[1])
        found = re.fullmatch(
            r"My name is (.+), user ID is (\S+), phone \((\d+)\) (\d+)-(\d+)\. Please (\w+) flight (\d+)\.",
            said,
        )
        assert found is not None
        name, login, *phone, intent, flight = found.groups()
        assert json.loads(text_of(by_id[f"c{n}-0"].response)) == {"intent": intent, "name": name}
        assert by_id[f"c{n}-1"].request.messages[1:] == [
            {"role": "user", "content": said},
            by_id[f"c{n}-0"].response,
        ]
        arguments = json.loads(by_id[f"c{n}-1"].response["tool_calls"][0]["function"]["arguments"])
        assert arguments == {"user_id": login, "phone": "".join(phone)}
        assert flight == str(100 + n)


def test_labels_and_tools_stay_and_the_template_has_one_surrogate_for_what_it_holds(curated: Curated) -> None:
    templates = {(e.site, e.request.messages[0]["content"]) for e in curated.examples}
    assert len(templates) == len({site for site, _ in templates})
    for _, template in templates:
        assert "555-0100" not in template and "desk@example-air.com" not in template
        assert template.split("\n")[1] == SYSTEM.split("\n")[1]
    assert all(e.request.tools in (None, [TOOL]) for e in curated.examples)
    assert any("[privacy] confirmed" in w for w in curated.warnings)


def test_what_a_person_confirmed_stays_in_the_template() -> None:
    calls = log(12)
    own = DetectorSet(RULES, confirmed=["+1 (800) 555-0100", "desk@example-air.com"])
    out = run(calls, infer_sites(calls), Convert(), key=KEY, detectors=own)
    assert {e.request.messages[0]["content"] for e in out.examples} == {SYSTEM}


def test_a_value_in_a_schema_is_replaced_in_schema_and_text_alike() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "assign",
            "parameters": {"properties": {"to": {"enum": ["ann.q@corp.example.org", "nobody"]}}},
        },
    }
    calls = [msgspec.structs.replace(c, tools=[tool]) for c in log(12)]
    calls[3].messages[-1]["content"] += "\nplease hand it to ann.q@corp.example.org today"
    out = curate(calls)
    assert "ann.q@corp" not in encode(out).decode()
    enums = {(e.site, str(e.request.tools)) for e in out.examples}
    assert len(enums) == len({site for site, _ in enums}) and all("nobody" in text for _, text in enums)


def test_groups_are_whole_and_failed_ones_only_out_of_training(curated: Curated) -> None:
    side_of: dict[str, set[str]] = {}
    for e in curated.examples:
        side_of.setdefault(e.group, set()).add(e.split)
        failed = e.outcome is not None and e.outcome.success is False
        assert e.trainable == (not failed or e.split in ("calibration", "test"))
        assert e.drop_reason == ("" if e.trainable else "failed episode")
    assert all(len(sides) == 1 for sides in side_of.values()) and len(side_of) == 60
    assert curated.dropped["failed episode"] > 0 and curated.n_code_calls == 120


class BlasThreads:
    """A detector that finds nothing and notes how many threads multiply matrices."""

    name = "threads"

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        self.seen |= blas_threads()
        return [[] for _ in texts]


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_one_thread_multiplies_matrices_while_a_log_is_scanned() -> None:
    calls, noted = log(4), BlasThreads()
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        run(calls, infer_sites(calls), Convert(), key=KEY, detectors=DetectorSet([*RULES, noted]))
        assert blas_threads() == before
    assert noted.seen == {1}


def test_equal_runs_are_equal_and_other_keys_differ() -> None:
    calls = log(12)
    assert encode(curate(calls)) == encode(curate(calls))
    other = run(calls, infer_sites(calls), Convert(), key=b"x" * 32, detectors=DetectorSet(RULES))
    assert other.examples[0].request != curate(calls).examples[0].request


@pytest.mark.parametrize("max_open", [1, 7])
@pytest.mark.parametrize("privacy", ["standard", "paranoid"])
def test_a_stream_gives_what_a_list_gives(max_open: int, privacy: str) -> None:
    calls = interleaved()
    config = Convert(privacy=privacy)
    whole = run(calls, infer_sites(calls), config, key=KEY, detectors=DetectorSet(RULES))
    stored, examples = Stored(calls), list[Example]()
    head = run(
        stored,
        infer_sites(stored),
        config,
        key=KEY,
        detectors=DetectorSet(RULES),
        write=examples.append,
        options=CurateOptions(max_open_episodes=max_open),
    )
    assert [encode(e) for e in examples] == [encode(e) for e in whole.examples] and len(examples) == 106
    assert encode(head) == encode(msgspec.structs.replace(whole, examples=[]))
    assert head.entities and any(e.repeated for e in examples) and stored.n_read == 5


def test_a_log_that_can_be_read_once_only_is_refused() -> None:
    calls = log(3)
    with pytest.raises(TypeError, match="start again"):
        run(iter(calls), infer_sites(calls), Convert(), key=KEY, detectors=DetectorSet(RULES))


def test_calls_that_come_or_go_between_the_passes_are_passed_over() -> None:
    calls = log(12)

    class Moving(Stored):
        def __iter__(self) -> Iterator[Call]:
            rows = list(super().__iter__())
            late = msgspec.structs.replace(rows[0], id=f"late{self.n_read}")
            return iter([late, *(r for r in rows if self.n_read < 3 or r.episode != rows[4].episode)])

    out = run(Moving(calls), infer_sites(calls), Convert(), key=KEY, detectors=DetectorSet(RULES))
    gone = {c.id for c in calls if c.episode == calls[4].episode}
    assert {e.call_id for e in out.examples} == {c.id for c in calls} - gone and len(gone) == 2


def test_sites_for_people_stay_behind_and_mixed_ones_go_whole() -> None:
    chat = [
        Call(
            id=f"h{i}",
            messages=[{"role": "user", "content": f"hi {i}"}],
            response={"role": "assistant", "content": f"Nice to meet you, {i} times."},
            agent="chat",
        )
        for i in range(5)
    ]
    mixed = [
        Call(
            id=f"m{i}",
            messages=[{"role": "user", "content": f"go {i}"}],
            response=log(1)[1].response if i % 2 else {"role": "assistant", "content": f"Which one of {i}?"},
            agent="mix",
            tools=[TOOL],
        )
        for i in range(6)
    ]
    out = curate(chat + mixed)
    assert {e.call_id for e in out.examples} == {f"m{i}" for i in range(6)}
    assert {e.audience for e in out.examples} == {"human", "code"}
    assert out.dropped["site that speaks to people only"] == 5 and (out.n_calls, out.n_code_calls) == (11, 3)


def test_a_secret_in_a_template_is_replaced_and_warned_of() -> None:
    secret = "sk-QIv6Gv5NoYUqN16qjIYnEHl8jTWNVi5s"
    calls = [
        Call(
            id=f"c{i}",
            messages=[
                {"role": "system", "content": f"Use key {secret}."},
                {"role": "user", "content": f"n {i}"},
            ],
            response={"role": "assistant", "content": f'{{"a": {i}}}'},
        )
        for i in range(20)
    ]
    out = curate(calls)
    assert secret not in encode(out).decode() and any("key" in w for w in out.warnings)
    assert len({text_of(e.request.messages[0]) for e in out.examples}) == 1


def test_what_a_second_detector_still_finds_is_quarantined() -> None:
    calls = log(20)
    odd = Call(
        id="odd",
        messages=[{"role": "user", "content": "take kQ7zL2mX9vB4nR8tW3yP6cD please"}],
        response={"role": "assistant", "content": "{}"},
        agent="desk",
        site="intent",
    )
    out = curate([*calls, odd])
    assert "odd" not in {e.call_id for e in out.examples} and out.dropped["quarantined: API_KEY"] == 1


def test_the_examples_of_train_carry_the_weight_of_their_dropped_duplicates() -> None:
    def asks(n: int) -> Call:
        return Call(
            id=f"c{n}",
            agent="a",
            site="s",
            episode=f"e{n}",
            messages=[{"role": "user", "content": f"please sort case {n % 7}"}],
            response={"role": "assistant", "content": ("yes", "no")[n % 7 % 2]},
        )

    train = [e for e in curate([asks(n) for n in range(140)]).examples if e.split == "train"]
    kept = [e for e in train if e.trainable]
    assert 0 < len(kept) <= 7 and {e.drop_reason for e in train if not e.trainable} <= {
        "exact duplicate",
        "near duplicate",
    }
    assert sum(e.weight for e in kept) == len(train) > len(kept)


def test_dates_move_together_unless_the_template_fixes_one() -> None:
    def dated(system: str) -> Curated:
        return curate(
            [
                Call(
                    id=f"c{i}",
                    messages=[
                        {"role": "system", "content": system},
                        {"role": "user", "content": f"Move booking {i} to 2024-03-{i % 28 + 1:02d}"},
                    ],
                    response={"role": "assistant", "content": f'{{"to": "2024-03-{i % 28 + 1:02d}"}}'},
                )
                for i in range(30)
            ]
        )

    for e in dated("Reply with JSON.").examples:
        day = json.loads(text_of(e.response))["to"]
        assert text_of(e.request.messages[1]).endswith(day)
    moved = [json.loads(text_of(e.response))["to"] for e in dated("Reply with JSON.").examples]
    assert moved != [f"2024-03-{i % 28 + 1:02d}" for i in range(30)]
    kept = dated("Today is 2024-05-15. Reply with JSON.")
    assert [json.loads(text_of(e.response))["to"] for e in kept.examples] == [
        f"2024-03-{i % 28 + 1:02d}" for i in range(30)
    ]
    assert any("fixes a date" in w for w in kept.warnings)


def test_one_person_has_unlinked_stand_ins_in_two_episodes_of_one_origin() -> None:
    def asks(n: int) -> Call:
        first, last = person(n // 2)
        said = f"My name is {first} {last}, mail {first}.{last}@mail.example, number {n}"
        return Call(
            id=f"c{n}",
            agent="a",
            site="s",
            episode=f"e{n}",
            origin=f"o{n // 2}",
            response_format={"type": "json_object"},
            messages=[{"role": "user", "content": said}],
            response={"role": "assistant", "content": json.dumps({"name": f"{first} {last}"})},
        )

    names: dict[str, set[str]] = {}
    for e in curate([asks(n) for n in range(20)]).examples:
        name = json.loads(e.response["content"])["name"]
        assert f"My name is {name}, mail {name.replace(' ', '.')}@" in e.request.messages[0]["content"]
        names.setdefault(e.origin, set()).add(name)
    assert len(names) == 10 and all(len(two) == 2 for two in names.values())


def test_the_dates_of_one_origin_move_alike_in_all_its_episodes() -> None:
    def trip(n: int) -> Call:
        said = f"I am Mia Kovacs{n}, from 2024-03-{1 + n % 9:02d} to 2024-04-{1 + n % 9:02d}, ref {n}"
        return Call(
            id=f"c{n}",
            agent="a",
            site="s",
            episode=f"e{n}",
            origin=f"o{n % 4}",
            response_format={"type": "json_object"},
            messages=[{"role": "user", "content": said}],
            response={"role": "assistant", "content": json.dumps({"from": f"2024-03-{1 + n % 9:02d}"})},
        )

    moved: dict[str, set[int]] = {}
    for e in curate([trip(n) for n in range(40)], privacy="strict").examples:
        was = date(2024, 3, 1 + int(e.call_id[1:]) % 9)
        days = (date.fromisoformat(json.loads(e.response["content"])["from"]) - was).days
        assert days and days % 7 == 0
        moved.setdefault(e.origin, set()).add(days)
    assert len(moved) == 4 and all(len(days) == 1 for days in moved.values())
    assert len(set().union(*moved.values())) > 1


def test_a_log_of_one_episode_is_split_by_prompt_with_a_warning() -> None:
    calls = [
        Call(
            id=f"c{i}",
            messages=[{"role": "user", "content": f"number {i}"}],
            response={"role": "assistant", "content": f'{{"a": {i}}}'},
            episode="one",
        )
        for i in range(50)
    ]
    out = curate(calls)
    assert {e.split for e in out.examples} == {"train", "validation", "calibration", "test"}
    assert any("only 1 episode" in w for w in out.warnings)


def test_equal_requests_are_repeated_samples() -> None:
    calls = log(3)
    again = Call(
        id="again",
        messages=calls[0].messages,
        response={"role": "assistant", "content": '{"intent": "book", "name": "Mia Silva"}'},
        agent="desk",
        episode="other",
        site="intent",
    )
    by_id = {e.call_id: e for e in curate([*calls, again]).examples}
    assert by_id["c0-0"].repeated == ["again"] and by_id["again"].repeated == ["c0-0"]
    assert by_id["c1-0"].repeated == []


def test_paranoid_mode_masks_what_few_episodes_hold() -> None:
    calls = log(30)
    odd = Call(
        id="odd",
        messages=[{"role": "user", "content": "Please book my zyxwvut flight"}],
        response={"role": "assistant", "content": "{}"},
        agent="desk",
        site="intent",
    )
    text = {
        e.call_id: text_of(e.request.messages[-1]) for e in curate([*calls, odd], privacy="paranoid").examples
    }["odd"]
    assert "zyxwvut" not in text and "[masked]" in text and text.startswith("Please book my")


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [
            Call(
                id="c",
                messages=[{"role": "user", "content": "x"}],
                response={"role": "assistant", "content": "{}"},
            )
        ],
    ],
)
def test_tiny_logs_are_curated(calls: list[Call]) -> None:
    assert len(curate(calls).examples) == len(calls)


def test_what_a_person_put_back_is_trained_on(curated: Curated) -> None:
    dropped = {d.call_id for d in dropped_of(curated)}
    back = frozenset(sorted(dropped)[:2])
    calls = log()
    out = run(
        calls,
        infer_sites(calls),
        Convert(),
        key=KEY,
        detectors=DetectorSet(RULES),
        options=CurateOptions(restored=back),
    )
    assert {d.call_id for d in dropped_of(out)} == dropped - back
    assert all(e.trainable for e in out.examples if e.call_id in back)


@pytest.mark.data
@pytest.mark.slow
def test_over_masking_of_plain_utterances_is_rare() -> None:
    path = DATA / "intent_clinc150.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not here: recorded traffic is not part of the repository")
    calls = [c for c in read_calls(path) if isinstance(c, Call)][:6000]
    by_id = {c.id: c for c in calls}
    out = run(calls, infer_sites(calls), Convert(), key=KEY)
    n_touched = sum(
        e.request.messages != by_id[e.call_id].messages or e.response != by_id[e.call_id].response
        for e in out.examples
    )
    assert len(out.examples) == 6000 and n_touched <= 0.03 * 6000


def test_calls_dropped_for_their_answer_stay_in_calibration_and_test_as_errors() -> None:
    bad: list[dict[str, Any]] = [
        {"content": "I'm sorry, but I cannot help with {}."},
        {"content": ""},
        {"content": "refun {}", "finish_reason": "length"},
        {"content": "", "status": 500},
        {"content": "zebra {}"},
    ]
    calls = []
    for i in range(900):
        said = bad[i // 25 % 5] if i % 25 == 0 else {"content": ("refund", "cancel")[i % 2]}
        said = dict(said)
        calls.append(
            Call(
                id=f"c{i}",
                agent="desk",
                site="intent",
                episode=f"e{i}",
                messages=[
                    {"role": "system", "content": "Say refund or cancel."},
                    {"role": "user", "content": f"n {i}"},
                ],
                response={"role": "assistant", "content": said.pop("content").format(i)},
                **said,
            )
        )
    out = curate(calls)
    assert {e.call_id for e in out.examples} == {c.id for c in calls}
    contract = infer_contract(out.examples, 2)
    assert contract.labels == ["cancel", "refund"]
    of_split = {s: [e for e in out.examples if e.split == s] for s in ("train", "calibration", "test")}
    for split in ("calibration", "test"):
        assert all(e.trainable for e in of_split[split])
        answers = [answer_of(e.response, contract) for e in of_split[split]]
        differ = [a for a in answers if not any(agree(label, a, contract) for label in contract.labels)]
        assert 0.01 < len(differ) / len(answers) < 0.1, "whatever is served there is an error"
    assert sum(not e.trainable for e in of_split["train"]) > 10


def test_calls_without_episodes_are_linked_and_repeats_are_found() -> None:
    calls = [
        Call(
            id=f"c{d}-{step}",
            messages=[
                {"role": "user", "content": f"please look after the order of shop {d}"},
                *[
                    {"role": role, "content": f"{role} {d} {k}"}
                    for k in range(step)
                    for role in ("assistant", "user")
                ],
            ],
            response={"role": "assistant", "content": f"assistant {d} {step}"},
            audience="code",
            site="shop",
        )
        for d in range(30)
        for step in range(3)
    ]
    again = [msgspec.structs.replace(calls[0], id=f"again{i}") for i in range(2)]
    whole = [*calls, *again]
    links = link_episodes(whole)
    options = CurateOptions(links=links)
    out = run(whole, infer_sites(whole), Convert(), key=KEY, detectors=DetectorSet(RULES), options=options)
    episodes = {e.call_id: e.episode for e in out.examples}
    assert len({episodes[f"c{d}-{step}"] for d in range(30) for step in range(3)}) == 30
    assert out.linked_by == {"history": 90, "none": 2} and (out.n_linked, out.linkage) == (90, "history")
    repeats = {e.call_id: len(e.repeated) for e in out.examples if e.repeated}
    assert repeats == {"c0-0": 2, "again0": 2, "again1": 2}
    groups = {e.group for e in out.examples if e.call_id in repeats}
    assert len(groups) == 1 and out.n_groups_joined == 2
