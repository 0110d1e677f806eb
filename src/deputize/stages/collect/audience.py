"""Call sites of an agent, and the audience of each reply: a person or code (stage S1).

Only calls meant for code are curated and trained on. A reply of unknown audience counts as meant for a person, and its
site says that it is unsure.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from deputize.core.artifacts import SiteInference
from deputize.core.contracts import closed_labels, fold, parse_json_object, short_reply, text_of
from deputize.core.records import Call
from deputize.core.sites import Site
from deputize.core.subjects import Subjects
from deputize.stages.collect.reply_evidence import LaterUse, TextEvidence, TextUse, use_of_texts

Sign: TypeAlias = Literal[
    "declared human",
    "declared code",
    "tool call",
    "structured",
    "label",
    "unstructured reply",
    "used",
    "grammar",
    "transformation",
    "text",
    "unsure",
]
"""The evidence by which a reply counts as meant for a person or for code."""

_CODE: frozenset[str] = frozenset(
    {
        "declared code",
        "tool call",
        "structured",
        "label",
        "unstructured reply",
        "used",
        "grammar",
        "transformation",
    }
)

FORM_SHARE = 0.95
"""A site without tools whose undeclared replies have a structure this often is read by code; the rest are unstructured
replies."""
CALLS_PER_HEAD = 5
"""Tool sets or prompt heads with fewer calls each than this do not tell sites apart: they vary from call to call."""
HEAD_LINES, HEAD_CHARS = 3, 240

_VARYING = re.compile(r"\d+|\"[^\"\n]*\"|'[^'\n]*'")
_ONE_FENCE = re.compile(r"\s*```[^\n`]*\n(?:(?!```).)*\n?```\s*", re.DOTALL)
_ONE_TAG = re.compile(r"\s*(?:\[(\w+)\].*\[/\1\]|<(\w+)>.*</\2>)\s*", re.DOTALL)


class _CallFacts(NamedTuple):
    """The facts of one call that the inference uses."""

    id: str
    place: tuple[str, ...]
    """Agent, declared site, tool names, reply format, head of the system prompt."""
    sign: Sign
    reply: str
    """A plain reply as the label it might be."""
    subject: str
    """Whose data it is."""
    text: TextEvidence | None = None
    """Of a plain text."""


def infer_sites(
    calls: Iterable[Call],
    min_origins: int = 1,
    audience: Mapping[str, Literal["code", "human"]] | None = None,
) -> SiteInference:
    """The sites of a log, and for each call its site and audience.

    A site is what the caller declared, else what shares agent, tools, response format and head of the system prompt.
    Of a call the declared audience counts first; then a tool call, a structured reply (response format, a JSON value,
    one fenced or tagged block) and a label of a closed set are for code. Of plain texts the site decides: they are for
    code where they occur in later requests or a tool's arguments, share a grammar, or were asked for as a
    transformation and nobody answers them; any other text is for a person.

    Args:
        calls: the log; read once, as a stream.
        min_origins: a site or agent that fewer data subjects call is numbered instead of named.
        audience: who reads the replies that declare nothing, by the id or name of a site, "agent/site", the agent, or
            "*".
    """
    places: dict[tuple[str, ...], tuple[str, ...]] = {}
    later = LaterUse()
    seen: list[_CallFacts] = []
    for call in calls:
        place = (call.agent, call.site, _tool_names(call), _format_type(call), _head(call))
        sign = _sign(call)
        reply = short_reply(text_of(call.response)) if sign == "text" else ""
        evidence = TextEvidence(call, text_of(call.response)) if sign == "text" else None
        later.add(call, evidence)
        subject = call.origin or call.group or call.episode or call.id
        seen.append(_CallFacts(call.id, places.setdefault(place, place), sign, reply, subject, evidence))
    members: dict[tuple[str, ...], list[_CallFacts]] = defaultdict(list)
    for one, key in zip(seen, _site_keys(seen), strict=True):
        members[key].append(one)
    site_of: dict[str, str] = {}
    audience_of: dict[str, Literal["human", "code"]] = {}
    sites: list[Site] = []
    names: Counter[str] = Counter()
    subjects = Subjects([one.subject for one in seen], min_origins)
    agents = subjects.shared((one.place[0],) for one in seen)
    declared = subjects.shared((one.place[:2],) for one in seen)
    for key, group in members.items():
        site_id = hashlib.blake2b(
            "\x1f".join(key).encode("utf-8", "surrogatepass"), digest_size=6
        ).hexdigest()
        signs, labels, why = _signs(group)
        raw_agent, raw_site, *_ = group[0].place
        site = raw_site if (raw_agent, raw_site) in declared else ""
        agent = raw_agent if raw_agent in agents else ""
        name = _name(agent, site, signs)
        names[name] += 1
        numbered = name if names[name] == 1 else f"{name} {names[name]}"
        wanted = (site_id, numbered, f"{raw_agent}/{raw_site}", raw_agent, "*")
        reader = next((audience[key] for key in wanted if key in audience), None) if audience else None
        if reader is not None:
            signs = _declared(group, signs, reader)
        for one, sign in zip(group, signs, strict=True):
            site_of[one.id] = site_id
            audience_of[one.id] = "code" if sign in _CODE else "human"
        sites.append(_site(site_id, numbered, agent, Counter(signs), labels, why))
    return SiteInference(sites=sites, site_of=site_of, audience_of=audience_of)


# ---------------------------------------------------------------- sites


def _site_keys(seen: Sequence[_CallFacts]) -> list[tuple[str, ...]]:
    """One key per call; a part that takes a new value in nearly every call of an agent is left out of its keys."""
    raw = [one.place for one in seen]
    n_calls = Counter(agent for agent, site, *_ in raw if not site)
    tools: dict[str, set[str]] = defaultdict(set)
    heads: dict[str, set[str]] = defaultdict(set)
    for agent, site, names, _, head in raw:
        if not site:
            tools[agent].add(names)
            heads[agent].add(head)
    distinguishes = {
        agent: (len(tools[agent]) * CALLS_PER_HEAD <= n, len(heads[agent]) * CALLS_PER_HEAD <= n)
        for agent, n in n_calls.items()
    }
    keys: list[tuple[str, ...]] = []
    for agent, site, names, form, head in raw:
        if site:
            keys.append((agent, "declared", site))
            continue
        by_tools, by_head = distinguishes[agent]
        keys.append((agent, names if by_tools else str(bool(names)), form, head if by_head else ""))
    return keys


def _tool_names(call: Call) -> str:
    functions = (t.get("function") for t in call.tools or ())
    return ",".join(sorted(str(f.get("name", "")) for f in functions if isinstance(f, dict)))


def _format_type(call: Call) -> str:
    kind = (call.response_format or {}).get("type")
    return "" if kind in (None, "text") else str(kind)


def _head(call: Call) -> str:
    """The first lines of the system prompt without numbers and quoted strings, '' where there is no system prompt."""
    for message in call.messages[:2]:
        if message.get("role") in ("system", "developer"):
            return _head_of(text_of(message)[:2000])
    return ""


@lru_cache(maxsize=1024)
def _head_of(text: str) -> str:
    lines = [folded for line in text.splitlines() if (folded := fold(line))]
    return _VARYING.sub("#", "\n".join(lines[:HEAD_LINES]))[:HEAD_CHARS]


# ---------------------------------------------------------------- audience


def _signs(group: Sequence[_CallFacts]) -> tuple[list[Sign], list[str], str]:
    """The sign of each call of one site, the closed labels that its plain replies are drawn from ([]: none), and the
    evidence of its plain texts in words."""
    signs = [one.sign for one in group]
    plain = [i for i, sign in enumerate(signs) if sign == "text"]
    labels = closed_labels(group[i].reply for i in plain) or []
    if labels:
        known = set(labels)
        for i in plain:
            signs[i] = "label" if group[i].reply in known else "unstructured reply"
        return signs, labels, ""
    undeclared = [sign for sign in signs if not sign.startswith("declared")]
    structured = sum(sign == "structured" for sign in undeclared)
    tool_calls = sum(sign == "tool call" for sign in undeclared)
    if structured and not tool_calls and structured >= FORM_SHARE * len(undeclared):
        return ["unstructured reply" if sign == "text" else sign for sign in signs], labels, ""
    if not plain:
        return signs, labels, ""
    use, why = use_of_texts([e for i in plain if (e := group[i].text) is not None], has_tools=tool_calls > 0)
    for i in plain:
        signs[i] = _OF_TEXTS[use]
    return signs, labels, why


_OF_TEXTS: dict[TextUse, Sign] = {
    "used": "used",
    "grammar": "grammar",
    "transformation": "transformation",
    "conversation": "text",
    "unsure": "unsure",
}


def _declared(group: Sequence[_CallFacts], signs: Sequence[Sign], reader: str) -> list[Sign]:
    """The signs where somebody says who reads the replies of a site; what a call itself declares stands."""
    sign: Sign = "declared code" if reader == "code" else "declared human"
    return [
        s if one.sign.startswith("declared") or (reader == "code" and s in _CODE) else sign
        for one, s in zip(group, signs, strict=True)
    ]


def _sign(call: Call) -> Sign:
    if call.audience == "human":
        return "declared human"
    if call.audience == "code":
        return "declared code"
    if call.response.get("tool_calls"):
        return "tool call"
    text = text_of(call.response)
    return "structured" if _format_type(call) or _is_structured(text) else "text"


def _is_structured(text: str) -> bool:
    """Check whether the whole text is a JSON object or array, or one fenced or tagged block."""
    if parse_json_object(text) is not None:
        return True
    if text.lstrip().startswith("["):
        try:
            return isinstance(json.loads(text), list)
        except (ValueError, RecursionError):
            return bool(_ONE_TAG.fullmatch(text))
    return bool(_ONE_FENCE.fullmatch(text) or _ONE_TAG.fullmatch(text))


# ---------------------------------------------------------------- names and evidence


def _name(agent: str, site: str, signs: Sequence[Sign]) -> str:
    """A name made of the caller's own words or of the form of the replies; never of prompt text, which is private."""
    if site:
        return f"{agent}/{site}" if agent else site
    agent = agent or "agent"
    kinds = set(signs)
    for sign, word in (("tool call", "tools"), ("structured", "structured"), ("label", "label")):
        if sign in kinds:
            return f"{agent} · {word}"
    return f"{agent} · text"


_WORDS: tuple[tuple[Sign, str], ...] = (
    ("declared human", "declared to be for a person"),
    ("declared code", "declared to be for code"),
    ("tool call", "tool calls"),
    ("structured", "structured replies"),
    ("label", "labels of a closed set"),
    ("unstructured reply", "replies without the structure of the others"),
    ("used", "texts that a later call uses"),
    ("grammar", "texts with one grammar"),
    ("transformation", "texts that were asked for as a transformation"),
    ("text", "free text to a person"),
    ("unsure", "free text of which it is unsure who reads it"),
)


def _site(site_id: str, name: str, agent: str, counts: Counter[Sign], labels: list[str], why: str) -> Site:
    n_calls = counts.total()
    n_code = sum(n for sign, n in counts.items() if sign in _CODE)
    parts = [f"{counts[sign]:,} {words}" for sign, words in _WORDS if counts[sign]]
    if labels:
        parts.append(f"{len(labels)} distinct labels")
    return Site(
        id=site_id,
        name=name,
        agent=agent,
        n_calls=n_calls,
        n_human=n_calls - n_code,
        n_code=n_code,
        audience="code" if n_code == n_calls else "human" if n_code == 0 else "mixed",
        n_unsure=counts["unsure"],
        evidence=f"Of {n_calls:,} replies: {', '.join(parts)}" + (f" ({why})." if why else "."),
    )
