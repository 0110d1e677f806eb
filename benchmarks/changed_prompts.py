"""How many requests find their task, and how many changed prompts still do: `python -m benchmarks.router --only
prompts`.

Tasks are found as a run finds them, on the de-identified train and validation calls of a log; then the raw
calibration and test calls are looked up as the gateway looks them up, as they are and once they were changed in one
of CHANGES. No model is trained. "Without limits" is the template key alone: the lines that recur, however much else
is in the prompt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.privacy_tasks import KEY, help_desk
from deputize.core.artifacts import Discovered
from deputize.core.config import Convert
from deputize.core.records import Call, Request
from deputize.core.template_key import TemplateKeys
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.cluster.run import run as cluster
from deputize.stages.collect.audience import infer_sites
from deputize.stages.collect.episodes import link_episodes
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.curate.run import CurateOptions
from deputize.stages.curate.run import run as curate
from deputize.stages.evaluate.population import asked_request

LOGS: dict[str, int] = {
    "intent_clinc150": 8_000,
    "tau_airline_gpt4o": 2_500,
    "agentdojo_benign_strong": 2_000,
    "haiku_gateway_log": 2_000,
    "metagpt_rsp_cache": 1_000,
    "absa_rest_gemma3_twins": 3_000,
    "tweeteval_sentiment_gpt35": 4_000,
    "drift_opinionqa_prime": 4_000,
    "intercode_sql_gpt4": 3_000,
}
"""Recorded logs, and about how many calls of each, by whole episodes. In those of BFCL the tools differ from call to
call."""
READ_BY_CODE = frozenset({"absa_rest_gemma3_twins", "drift_opinionqa_prime", "intercode_sql_gpt4"})
"""Logs whose answers look like prose for a person; declared as read by code, as whoever runs such an agent would."""
HELP_DESK = "help desk (simulated)"
MAX_CHANGED = 400
"""Calls that are changed in each way."""

ESCALATE = "If the customer sounds angry, answer ESCALATE instead."


def _of(request: Request, role: str, change: Callable[[str], str], *, last: bool = True) -> Request | None:
    """The request with one message of its opening changed; None where it has none of this role, or nothing changed."""
    messages = list(request.messages)
    until = next((i for i, m in enumerate(messages) if m.get("role") == "assistant"), len(messages))
    places = [
        i
        for i, m in enumerate(messages[:until])
        if m.get("role") == role and isinstance(m.get("content"), str)
    ]
    if not places:
        return None
    at = places[-1 if last else 0]
    text = change(str(messages[at]["content"]))
    if text == messages[at]["content"]:
        return None
    messages[at] = {**messages[at], "content": text}
    return msgspec.structs.replace(request, messages=messages)


def _user(change: Callable[[str], str]) -> Callable[[Request], Request | None]:
    return lambda request: _of(request, "user", change)


def _system(change: Callable[[str], str]) -> Callable[[Request], Request | None]:
    return lambda request: _of(request, "system", change, last=False)


def _inside(text: str) -> str:
    """The text with an instruction between its lines, or its sentences, or its words."""
    lines = text.splitlines()
    if len(lines) > 1:
        return "\n".join([*lines[: len(lines) // 2], ESCALATE, *lines[len(lines) // 2 :]])
    words = text.split(" ")
    return " ".join([*words[: len(words) // 2], ESCALATE, *words[len(words) // 2 :]])


def _longest_line(text: str) -> int:
    lines = text.splitlines()
    return max(range(len(lines)), key=lambda i: len(lines[i]), default=0)


def _without_longest(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(line for i, line in enumerate(lines) if i != _longest_line(text))


def _other_example(text: str) -> str:
    """The text with its longest line replaced, as if another example stood there."""
    lines = text.splitlines()
    if lines:
        lines[_longest_line(text)] = "Example: the invoice was paid twice and nobody called back -> other"
    return "\n".join(lines)


def _reworded(text: str) -> str:
    """The longest line with a word in its middle exchanged."""
    lines = text.splitlines()
    if lines:
        at = _longest_line(text)
        words = lines[at].split(" ")
        words[len(words) // 2] = "never"
        lines[at] = " ".join(words)
    return "\n".join(lines)


def _other_tools(request: Request) -> Request | None:
    if not request.tools:
        return None
    tools: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(request.tools))
    function = tools[0].get("function", {})
    function["description"] = f"{function.get('description', '')} Not on Sundays."
    return msgspec.structs.replace(request, tools=tools)


def _other_format(text: str) -> str:
    return f"{text}\nOutput YAML with the keys result and reason."


CHANGES: dict[str, Callable[[Request], Request | None]] = {
    "instruction at the end": _user(lambda text: f"{text}\n{ESCALATE}"),
    "instruction in front": _user(lambda text: f"{ESCALATE}\n{text}"),
    "instruction inside": _user(_inside),
    "another language": _user(lambda text: f"{text} Answer in German."),
    "new label": _user(lambda text: f"{text}\nA further category is now allowed: unclear."),
    "negation": _user(lambda text: f"{text}\nNow name the one that does NOT fit."),
    "new output format": _user(_other_format),
    "user: longest line replaced": _user(_other_example),
    "system: line added": _system(lambda text: f"{text}\nBe strict: in doubt prefer the first option."),
    "system: longest line replaced": _system(_other_example),
    "system: a word changed": _system(_reworded),
    "system: a line removed": _system(_without_longest),
    "tool description": _other_tools,
}


def read_log(path: Path, n_calls: int, seed: int) -> list[Call]:
    """About so many calls of a log, by whole runs."""
    calls = [call for call in read_calls(path) if isinstance(call, Call)]
    names = sorted({call.episode or call.id for call in calls})
    random.Random(seed).shuffle(names)
    place = {name: i for i, name in enumerate(names)}
    chosen: list[Call] = []
    for call in sorted(calls, key=lambda c: place[c.episode or c.id]):
        if len(chosen) >= n_calls and call.episode != chosen[-1].episode:
            break
        chosen.append(call)
    ids = {call.id for call in chosen}
    code = path.name.split(".")[0] in READ_BY_CODE
    return [
        msgspec.structs.replace(call, audience="code") if code else call for call in calls if call.id in ids
    ]


class Lookup:
    """The tasks of a log by the keys of requests, with and without limits of what varies."""

    def __init__(self, found: Discovered) -> None:
        bare = [
            msgspec.structs.replace(
                space, **{name: {} for name in ("prompt_limits",) if hasattr(space, name)}
            )
            for space in found.keyspaces
        ]
        self._keys, self._bare = TemplateKeys(found.keyspaces), TemplateKeys(bare)
        self._task_of = {key: task.id for task in found.tasks for key in task.keys}

    def task(self, request: Request) -> str:
        """The task of a request, '' where it has none."""
        return self._task_of.get(self._keys.key(request), "")

    def task_without_limits(self, request: Request) -> str:
        """The same by the lines that recur alone."""
        return self._task_of.get(self._bare.key(request), "")


def measure(log: str, calls: Sequence[Call], seed: int) -> list[dict[str, Any]]:
    """Rows of one log: the share of held-out calls that find a task, and of changed ones that find theirs."""
    config = Convert.model_validate({"seed": seed})
    rules = DetectorSet([RuleDetector()])
    links = CurateOptions(links=link_episodes(calls))
    curated = curate(
        calls, infer_sites(calls, config.min_origins), config, key=KEY, detectors=rules, options=links
    )
    found = cluster(curated, config)
    lookup = Lookup(found)
    by_id = {call.id: call for call in calls}
    held_out = [e.call_id for e in curated.examples if e.split in ("calibration", "test")]
    requests = [r for id in held_out if (r := asked_request(by_id[id])) is not None]
    bare = [r for r in requests if lookup.task_without_limits(r)]
    matched = [r for r in bare if lookup.task(r)]
    rows: list[dict[str, Any]] = [
        {
            "log": log,
            "change": "as it is",
            "calls": len(requests),
            "find their task, without limits": len(bare) / max(1, len(requests)),
            "with limits": len(matched) / max(1, len(requests)),
            "refused": 1 - len(matched) / max(1, len(bare)),
        }
    ]
    random.Random(seed).shuffle(matched)
    for change, make in CHANGES.items():
        pairs = [(r, made) for r in matched[:MAX_CHANGED] if (made := make(r)) is not None]
        if pairs:
            rows.append(
                {
                    "log": log,
                    "change": change,
                    "calls": len(pairs),
                    "find their task, without limits": _share(pairs, lookup.task_without_limits),
                    "with limits": _share(pairs, lookup.task),
                    "refused": 1 - _share(pairs, lookup.task),
                }
            )
    return rows


def _share(pairs: Sequence[tuple[Request, Request]], task: Callable[[Request], str]) -> float:
    return sum(bool(task(made)) for _, made in pairs) / len(pairs)


def rows(data: Path, logs: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """The rows of the simulated help desk and of each recorded log that is here."""
    out = measure(HELP_DESK, help_desk(240, seed), seed)
    for log in logs:
        path = data / f"{log}.jsonl.gz"
        if path.exists():
            out += measure(log, read_log(path, LOGS[log], seed), seed)
    return out
