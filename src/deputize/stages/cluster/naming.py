"""Readable names, template texts and prompt recipes of tasks, made without a language model."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from deputize.core.contracts import text_of
from deputize.core.prompt_segments import LONG_LINE, head_of, normalise, segments
from deputize.core.records import Contract, Example, PromptRecipe
from deputize.core.subjects import Subjects
from deputize.core.template_key import opening

SLOT = "⟨…⟩"
CONSTANT_SHARE = 0.95
"""A line is shown as constant when so many calls of a task have it; stricter than FIXED_SHARE, for it is read by people."""
SAMPLE = 2000
DIALOGUE_CHARS = 800
NAMED_AFTER = 400
"""Texts of a task that are looked at for its typical words."""
TEMPLATE_CHARS = 6000

_JOB = re.compile(
    r"^\W*(?:your\s+)?(?:job|task|role|goal|objective|instructions?)\b\W*(?:is\s+(?:to\s+)?)?[:\-–—]?\s*(.+)",
    re.I,
)
_DUTY = re.compile(
    r"\b(?:your (?:job|task|goal) is to|you (?:will|must|should|are to|are asked to|need to)|please|tasked with)\s+(\w.+)",
    re.I,
)
_ROLE = re.compile(
    r"(?:^\W*you are|^\W*as|you act as)\s+(?:an?|the|our)\s+(?:(?:helpful|expert)\s+)?(.+)", re.I
)
_VERBS_TEXT = """add analyse analyze annotate answer assess assign break calculate categorise categorize check choose classify
    compare compose compute convert copy correct create decide define describe design detect determine draft edit
    estimate evaluate explain extract fill find fix flag format generate give grade group identify implement improve
    infer judge label list make map mark match name normalise normalize optimise optimize order paraphrase parse pick
    plan predict produce propose provide pull rank rate read recommend redact reply respond review revise rewrite
    route say score select solve sort split suggest summarise summarize tag tell test transcribe transform translate
    turn update use validate verify write"""
_VERBS = frozenset(_VERBS_TEXT.split())
_STEMS = frozenset(verb.rstrip("ing") for verb in _VERBS)
_STOP_TEXT = """a about above after all also an and any are as at be been before but by can could did do does for from get give
    had has have he her him his how i if in into is it its just like make me more my need no not of on one only or our
    out please she should so some tell than that the their them then there these they this to too up us want was we
    were what when where which who why will with would you your"""
_STOP = frozenset(_STOP_TEXT.split())
_CLAUSE = re.compile(r"[.;:,!?()\[\]{}<>|\n]| - | – ")
_LETTERS = re.compile(r"[^\W\d_][\w'-]+")


def name_of(
    contract: Contract,
    fixed: Sequence[str],
    texts: Sequence[str],
    others: Sequence[Sequence[str]],
    subjects: Subjects | None = None,
) -> str:
    """A name for people: what is asked, an arrow, what comes out.

    Args:
        contract: what the replies look like.
        fixed: the constant lines of the task, in the order of the prompt.
        texts: requests of the task, for its typical words where no line says what is asked.
        others: requests of the other tasks, against which words are typical.
        subjects: of `texts`, whose they are: a word of too few is in no name. None: any may be.
    """
    asked = (
        _asked(fixed, conversation=contract.kind == "tool_call")
        or ", ".join(typical_words(texts, others, subjects=subjects))
        or "unnamed"
    )
    return f"{asked} → {_output(contract)}"


def _asked(fixed: Sequence[str], *, conversation: bool) -> str:
    """The instruction in a few words, '' where no line gives one."""
    sentences = [s.strip() for line in fixed for s in re.split(r"(?<=[.!?])\s+", line) if s.strip()]
    # an agent's prompt is full of instructions, but its first line says who it is
    order = (_job_line, _role, _imperative) if conversation else (_job_line, _duty, _imperative, _role)
    return next((found for read in order if (found := read(sentences))), "")


def _duty(sentences: Sequence[str]) -> str:
    for sentence in sentences:
        found = _DUTY.search(sentence)
        if found and found.group(1).split()[0].lower().rstrip("ing") in _STEMS:
            return _phrase(found.group(1))
    return ""


def _role(sentences: Sequence[str]) -> str:
    return next((p for s in sentences if (m := _ROLE.search(s)) and (p := _phrase(m.group(1)))), "")


def _job_line(sentences: Sequence[str]) -> str:
    return next((p for s in sentences if (m := _JOB.match(s)) and (p := _phrase(m.group(1)))), "")


def _imperative(sentences: Sequence[str]) -> str:
    for sentence in sentences:
        words = _LETTERS.findall(sentence[:80])
        if (
            len(words) >= 2
            and words[0].lower() in _VERBS
            and words[0].lower() not in ("use", "give", "provide", "make")
        ):
            return _phrase(sentence)
    return ""


def _phrase(text: str, max_words: int = 6) -> str:
    words = _CLAUSE.split(text.strip(" \"'*_#"), maxsplit=1)[0].split()
    if len(words) > max_words:
        words = words[:max_words]
        while len(words) > 2 and words[-1].lower() in _STOP:
            words.pop()
    return " ".join(words)[:60].strip()


def _output(contract: Contract) -> str:
    match contract.kind:
        case "label":
            few = contract.labels[:4]
            short = len(contract.labels) <= 4 and sum(map(len, few)) <= 40
            return " / ".join(few) if short else f"one of {len(contract.labels)} labels"
        case "json":
            names = [f.name for f in contract.fields]
            return "{" + ", ".join(names[:4]) + (", …" if len(names) > 4 else "") + "}"
        case "tool_call":
            more = len(contract.tools) - 3
            return "tool " + ", ".join(contract.tools[:3]) + (f" and {more} more" if more > 0 else "")
        case _:
            return "text"


def typical_words(
    texts: Sequence[str], others: Sequence[Sequence[str]], n: int = 3, *, subjects: Subjects | None = None
) -> list[str]:
    """The words most typical of some texts against the texts of other tasks (c-TF-IDF)."""
    mine = _counts(texts)
    if subjects is not None:
        names = Subjects(subjects.names[:NAMED_AFTER], subjects.least)
        common = names.shared(map(_words, texts[:NAMED_AFTER]))
        mine = Counter({word: c for word, c in mine.items() if word in common})
    classes = [mine, *(_counts(group) for group in others)]
    total: Counter[str] = Counter()
    for counts in classes:
        total.update(counts)
    average = sum(total.values()) / max(1, len(classes))
    size = max(1, mine.total())
    scores = {
        w: c / size * math.log(1 + average / total[w]) for w, c in mine.items() if c >= 2 or len(texts) < 4
    }
    return sorted(scores, key=lambda w: (-scores[w], w))[:n]


def _counts(texts: Sequence[str]) -> Counter[str]:
    # a word counts once a text, so that one long letter does not name a task
    return Counter(w for text in texts[:NAMED_AFTER] for w in _words(text))


def _words(text: str) -> set[str]:
    return {w for x in _LETTERS.findall(text[:1500]) if (w := x.lower()) not in _STOP and len(w) > 2}


def template_text(example: Example, lines: frozenset[str], heads: frozenset[str]) -> str:
    """The prompt of an example as people may see it: recurring lines as they stand, everything else as slots."""
    parts: list[str] = []
    for text in opening(example.request):
        shown: list[str] = []
        for line in text.splitlines():
            pieces = [_shown(segment, lines, heads) for segment in segments(line)]
            for piece in pieces if len(line) <= LONG_LINE else [" ".join(_once(pieces))]:
                if piece != SLOT or not shown or shown[-1] != SLOT:
                    shown.append(piece)
        if shown:
            parts.append("\n".join(shown))
    full = "\n\n".join(parts)
    return full if len(full) <= TEMPLATE_CHARS else full[:TEMPLATE_CHARS] + " …"


def _once(pieces: Sequence[str]) -> list[str]:
    return [p for i, p in enumerate(pieces) if p != SLOT or i == 0 or pieces[i - 1] != SLOT]


def _shown(segment: str, lines: frozenset[str], heads: frozenset[str]) -> str:
    if segment in lines:
        return segment
    if (mask := normalise(segment)) in lines:
        return mask.replace("⟨⟩", SLOT)
    head = head_of(segment)
    return f"{head} {SLOT}" if head and head in heads else SLOT


_DATED = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}:\d\d|\b(?:19|20)\d\d\b")


def recipe_of(
    examples: Sequence[Example], variants: Sequence[str], heads: Sequence[str], min_origins: int = 1
) -> PromptRecipe:
    """The recipe of a task's short prompt: its constant lines and its mode.

    Args:
        examples: the task's examples for training.
        variants: for each, the template variant (key) it has; what is constant in the system prompt of a variant
            is left out too.
        heads: the task's `Label:` heads.
        min_origins: a line that fewer data subjects have stays in the short prompt, however constant it is.
    """
    step = max(1, len(examples) // SAMPLE)
    sample, keys = examples[::step], variants[::step]
    mode: Literal["slots", "dialogue"] = "dialogue" if _is_dialogue(sample) else "slots"
    everywhere: Counter[str] = Counter()
    segments_of: list[set[str]] = []
    in_system: dict[str, Counter[str]] = defaultdict(Counter)
    for example, key in zip(sample, keys, strict=True):
        system: set[str] = set()
        other: set[str] = set()
        for message in example.request.messages:
            role = message.get("role")
            if role in ("system", "developer"):
                system.update(segments(text_of(message)))
            elif mode == "slots" or role == "user":
                other.update(segments(text_of(message)))
        everywhere.update(system | other)
        segments_of.append(system | other)
        in_system[key].update(system)
    sizes = Counter(keys)
    constant = {segment for segment, n in everywhere.items() if n >= CONSTANT_SHARE * len(sample)}
    for key, counts in in_system.items():
        if sizes[key] >= 8:
            constant |= {segment for segment, n in counts.items() if n >= CONSTANT_SHARE * sizes[key]}
    common = Subjects([e.subject for e in sample], min_origins).shared(
        held & constant for held in segments_of
    )
    constant &= common
    # a date in an otherwise fixed line of the system prompt goes on changing after training
    system_segments = set().union(*in_system.values()) if in_system else set()
    dated = {normalise(segment) for segment in constant & system_segments if _DATED.search(segment)}
    return PromptRecipe(
        mode=mode,
        constant_lines=sorted(constant | {d for d in dated if len(_LETTERS.findall(d)) >= 3}),
        heads=sorted(heads),
        max_chars=DIALOGUE_CHARS if mode == "dialogue" else PromptRecipe().max_chars,
    )


def _is_dialogue(sample: Sequence[Example]) -> bool:
    """Check whether the calls are steps of a conversation, and not one question after constant worked examples."""
    first: Counter[str] = Counter()
    for example in sample:
        for message in example.request.messages:
            if message.get("role") not in ("system", "developer", "user"):
                first[f"{text_of(message)[:400]}|{message.get('tool_calls')}"] += 1
                break
    n = first.total()
    if n < 0.2 * len(sample):
        return False
    few_shot = n >= 8 and sum(c for _, c in first.most_common(2)) >= 0.9 * n
    return not few_shot
