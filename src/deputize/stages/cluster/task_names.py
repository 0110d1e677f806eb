"""Names of tasks as a person would give them, from what differs between the tasks of a log; made without a language
model.

Agents put one long preamble before each of their prompts. A sentence that several tasks share therefore names none of
them. What is left is read in this order: the instruction, the name that the caller gives the place of the call, the
answers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from deputize.core.prompt_segments import MASK
from deputize.core.records import Contract
from deputize.core.subjects import Subjects

MAX_NAME = 60
"""Characters of a name."""
SHARED_BY, SHARED_PART = 3, 1 / 3
"""A task without a sentence of its own is named after one of no more tasks, and of no larger part of them: others are a
preamble."""
MAX_ANSWERS = 50
"""Characters of the answers in a name."""
OWN_SHARE = 0.9
"""Share of the calls with a sentence that a task has where the sentence is its own."""
NAMED_AFTER = 400
"""Texts of a task that are looked at for its typical words."""

_JOB = re.compile(
    r"^\W*(?:your\s+)?(?:current\s+)?(?:job|task|role|goal|objective|instructions?)\W{0,3}(?:is\s+(?:to\s+)?|[:–—]\s*)(.+)",
    re.I,
)
_DUTY = re.compile(
    r"\b(?:(?:your|the) (?:\w+ )?(?:job|task|goal|objective) is to|your ability to|(?:need|want|ask) you to|you (?:will|must|should|are to|are asked to|need to)|"
    r"please|tasked with)\s+(\w.+)",
    re.I,
)
_ROLE = re.compile(
    r"(?:^\W*you are(?: [^,.:]{1,40},)?|^\W*as|you act as)\s+(?:an?|the|our)\s+(?:(?:helpful|expert|professional)\s+)?(.+)",
    re.I,
)
_VERBS_TEXT = """add analyse analyze annotate answer assess assign break calculate categorise categorize check choose classify
    compare compose compute convert copy correct create decide define describe design detect determine draft edit
    estimate evaluate explain extract fill find fix flag format generate give grade group identify implement improve
    infer judge label list make map mark match name normalise normalize optimise optimize order paraphrase parse pick
    plan predict produce propose provide pull rank rate read recommend redact reply respond review revise rewrite
    route say score select solve sort split suggest summarise summarize tag tell test transcribe transform translate
    turn update use validate verify write"""
_VERBS = frozenset(_VERBS_TEXT.split())
_VAGUE = frozenset(("use", "give", "provide", "make", "respond", "reply", "answer", "format"))
"""Verbs that more often say how to answer than what is asked."""
_STOP_TEXT = """a about above after all also an and any are as at be been before but by can could did do does for from get give
    had has have he her him his how i if in into is it its just like make me more my need no not of on one only or our
    out please she should so some tell than that the their them then there these they this to too up us want was we
    were what when where which who why will with would you your"""
_STOP = frozenset(_STOP_TEXT.split())
_UNENDED = _STOP | frozenset(
    [
        "according",
        "against",
        "because",
        "between",
        "during",
        "per",
        "since",
        "through",
        "under",
        "until",
        "using",
        "via",
        "when",
        "whether",
        "while",
        "without",
    ]
)
"""Words that no phrase ends with."""
_PREPOSITIONS = frozenset(
    [
        "about",
        "against",
        "as",
        "at",
        "between",
        "by",
        "during",
        "for",
        "from",
        "in",
        "into",
        "of",
        "on",
        "per",
        "since",
        "through",
        "to",
        "under",
        "via",
        "with",
    ]
)
_JOINS = frozenset(["and", "or"])
_CUT_BEFORE = _PREPOSITIONS | _JOINS
_LABEL = re.compile(r"^\W*[A-Z][\w ]{1,24}:\s+(?=[A-Z][\w'’-]+\s)")
"""The word before what a line says: "Statement: ...", "Role: ..."."""
_MASKED = re.compile(rf"(?:{MASK}\W*)+")
_CLAUSE = re.compile(r"[.;:!?()\[\]{}<>|\n]| - | – |" + MASK)
_LETTERS = re.compile(r"[^\W\d_][\w'-]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class NameClues(NamedTuple):
    """Everything that a task can be named after."""

    contract: Contract
    fixed: Sequence[str]
    """The constant lines of the task, in the order of the prompt."""
    texts: Sequence[str] = ()
    """Requests of the task, for its typical words."""
    subjects: Subjects | None = None
    """Of `texts`, whose they are: a word of too few is in no name. None: any may be."""
    site: str = ""
    """The caller's own name for the place of the call; "" where the log names none."""
    n_calls: int = 1
    """Calls of the task."""


def names_of(clues: Sequence[NameClues]) -> list[str]:
    """A name for each task, no two alike, of at most MAX_NAME characters.

    Args:
        clues: of all tasks of a log; a sentence or site of several of them says nothing of one.
    """
    sites = Counter(_site_words(one.site) for one in clues)
    typical = typical_words(clues)
    names: list[str] = []
    for one, (own, shared), topic in zip(clues, _sentences(clues), typical, strict=True):
        site, is_conversation = _site_words(one.site), one.contract.kind == "tool_call"
        asked = _asked(own, is_conversation=is_conversation)
        if not asked and site and sites[site] == 1:
            asked = site
        if not asked and one.contract.kind == "text":
            # other answers say more than what several tasks were asked
            asked = _asked(shared, is_conversation=False)
        names.append(asked or _answer_name(one.contract, topic))
    differences: tuple[Callable[[int], str], ...] = (
        lambda i: answer_words(clues[i].contract),
        lambda i: _site_words(clues[i].site),
        lambda i: ", ".join(typical[i]),
    )
    for difference in differences:
        names = _told_apart(names, difference)
    return _numbered(names)


def _sentences(clues: Sequence[NameClues]) -> list[tuple[list[str], list[str]]]:
    """Of each task the constant sentences that (nearly) no call of another task has, and those of few tasks, in the
    order of the prompt."""
    sentences = [list(_split(one.fixed)) for one in clues]
    n_calls, n_tasks = Counter[str](), Counter[str]()
    for one, of_task in zip(clues, sentences, strict=True):
        for sentence in {s.casefold() for s in of_task}:
            n_calls[sentence] += one.n_calls
            n_tasks[sentence] += 1
    most = min(SHARED_BY, int(len(clues) * SHARED_PART))
    return [
        (
            [s for s in of_task if one.n_calls >= OWN_SHARE * n_calls[s.casefold()]],
            [s for s in of_task if n_tasks[s.casefold()] <= most],
        )
        for one, of_task in zip(clues, sentences, strict=True)
    ]


def _split(lines: Sequence[str]) -> Iterator[str]:
    """The sentences of lines; of one with a label before it also what stands behind the label."""
    for line in lines:
        for sentence in _SENTENCE.split(line):
            if sentence := sentence.strip():
                yield sentence
                if label := _LABEL.match(sentence):
                    yield sentence[label.end() :]


# ---------------------------------------------------------------- the instruction


def _asked(sentences: Sequence[str], *, is_conversation: bool) -> str:
    """The instruction in a few words, "" where no sentence gives one."""
    # an agent's prompt is full of instructions, but its first line says who it is
    order = (_job, _role, _imperative) if is_conversation else (_job, _duty, _imperative, _role)
    return next((found for read in order if (found := read(sentences, is_conversation))), "")


def _job(sentences: Sequence[str], is_conversation: bool) -> str:
    """The job that a line states; where it is only a title, with the instruction behind it."""
    for at, sentence in enumerate(sentences):
        found = _JOB.match(sentence)
        job = _phrase(found.group(1)) if found else ""
        first, n_words = job.split(" ")[0].lower(), len(job.split())
        is_code = any(not any(c.isalpha() for c in word) for word in job.split())
        if not job or is_code or first in _STOP or (first not in _VERBS and n_words > 4):
            continue
        told = _imperative(sentences[at : at + 3], is_conversation) if n_words <= 2 else ""
        return _fitted(f"{job}: {told}", MAX_NAME) if told and told != job else job
    return ""


def _duty(sentences: Sequence[str], is_conversation: bool) -> str:
    for sentence in _joined(sentences):
        found = _DUTY.search(sentence)
        verb = _verb(found.group(1).split()[0]) if found else ""
        if found and verb and verb not in _VAGUE:
            return _phrase(" ".join([verb, *found.group(1).split()[1:]]))
    return ""


def _verb(word: str) -> str:
    """The known verb that a word is, or is the -ing form of: judging -> judge; "" for any other word."""
    word = word.lower()
    stem = word.removesuffix("ing")
    return next((verb for verb in (word, stem, f"{stem}e", stem[:-1]) if verb in _VERBS), "")


def _role(sentences: Sequence[str], is_conversation: bool) -> str:
    """To answer as who the model is said to be; of an agent that calls tools, its next step."""
    found = next((p for s in sentences if (m := _ROLE.search(s)) and (p := _who(m.group(1)))), "")
    asked = "next step of the" if is_conversation else "answer as the"
    return _fitted(f"{asked} {found}", MAX_NAME) if found else ""


def _who(text: str) -> str:
    """A role without what is said of it: "travel agent, named Alice, who books" -> "travel agent"."""
    return _phrase(re.split(r",| who | that | which | named | called ", text, maxsplit=1)[0])


def _imperative(sentences: Sequence[str], is_conversation: bool) -> str:
    """The first sentence that begins with a verb, or has one behind its first clause, and says what is asked."""
    for sentence in _joined(sentences):
        for clause in (sentence, sentence.partition(", ")[2]):
            words = clause.split()
            if len(words) >= 2 and words[0].lower() in _VERBS - _VAGUE and not words[1][0].isupper():
                found = _phrase(clause)
                if len(found.split()) >= 2:
                    return found
    return ""


def _joined(sentences: Sequence[str]) -> Iterator[str]:
    """The sentences that may hold an instruction, one that ends with its line joined with the next.

    Headings, items of a list, quotations and code hold none: what they say is an example, or a rule for a detail.
    """
    for at, sentence in enumerate(sentences):
        n_letters = sum(c.isalpha() or c == " " for c in sentence)
        sentence = sentence.lstrip("`*_ ")
        if not sentence[:1].isalpha() or "\\n" in sentence or n_letters < 0.8 * len(sentence):
            continue
        follows = sentences[at + 1] if at + 1 < len(sentences) else ""
        is_broken = sentence[-1].isalpha() and follows[:1].islower()
        yield f"{sentence} {follows}" if is_broken else sentence


def _phrase(text: str) -> str:
    """The first clause, cut to the length of a name, with a verb at its beginning in lower case."""
    text = text.strip(" \"'*_#`")
    if len(text.partition(MASK)[0].split()) <= 2:  # too little is left without what stands behind a value
        text = _MASKED.sub("… ", text, count=1)
    clause = _CLAUSE.split(text, maxsplit=1)[0].partition(" according to ")[0]
    first, comma, rest = clause.partition(",")
    if comma and len(first.split()) >= 3 and (len(clause) > MAX_NAME or rest.strip() == "please"):
        clause = first
    words = clause.replace("`", "").replace('"', "").split()
    if MASK in text or words[-1:] == ["following"]:  # what stands behind belongs to the last words
        words = _ended(words)
    if words and words[0].lower() in _VERBS:
        words[0] = words[0].lower()
    return _fitted(" ".join(words).rstrip(", "), MAX_NAME)


def _fitted(text: str, most: int) -> str:
    """The text in at most so many characters, ended after a word that a phrase can end with."""
    text = text.strip()
    if len(text) <= most:
        return text
    words = text[: most + 1].rsplit(" ", 1)[0].split() if " " in text[: most + 1] else [text[:most]]
    words = _ended(words)
    # the end of a phrase that was cut within its last part
    last = max((i for i, word in enumerate(words) if word.lower() in _CUT_BEFORE), default=0)
    if last >= max(2 if words[last] in _JOINS else 3, len(words) - 3):
        words = _ended(words[:last])
    return " ".join(words).rstrip(",:;- ")


def _ended(words: list[str]) -> list[str]:
    """The words without those at the end that no phrase ends with."""
    n = len(words)
    while n > 2 and words[n - 1].lower().strip(",:") in _UNENDED:
        n -= 1
    return words[:n]


def site_name(name: str) -> str:
    """The caller's own name of a site, of the name of the site: "" where it was made up from the form of the
    replies."""
    agent, slash, site = name.rpartition("/")
    return site if slash and agent and " · " not in name else ""


def _site_words(site: str) -> str:
    """The caller's name for a place as words: case_line -> case line."""
    return " ".join(re.sub(r"[_\-.]+", " ", site).split())


# ---------------------------------------------------------------- the answer


def answer_words(contract: Contract) -> str:
    """The answers of a task as a phrase that begins with a verb."""
    if contract.from_request:
        return (
            "call a tool from the list given" if contract.kind == "tool_call" else "fill in the schema given"
        )
    match contract.kind:
        case "label":
            return f"answer {_either(contract.labels)}" if _are_few(contract.labels) else _of_many(contract)
        case "json":
            return f"fill in {_as_many([f.name for f in contract.fields], 'and')}"
        case "tool_call":
            return f"call {_as_many(contract.tools, 'or')}"
        case _:
            return "write a text"


def _answer_name(contract: Contract, topic: Sequence[str]) -> str:
    """A name for a task of which only the answers are known, with its typical words where these say too little."""
    words = answer_words(contract)
    if topic and contract.kind in ("label", "text"):
        return _with_difference(words, ", ".join(topic))
    return words


def _of_many(contract: Contract) -> str:
    return f"choose one of {len(contract.labels)} labels"


def _are_few(labels: Sequence[str]) -> bool:
    return 0 < len(labels) <= 4 and sum(map(len, labels)) <= 36


def _either(names: Sequence[str], word: str = "or") -> str:
    """Names joined with commas, the last with a word."""
    return f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _as_many(names: Sequence[str], word: str) -> str:
    """As many of the first three names as there is room for, and how many there are besides."""
    for n in range(min(3, len(names)), 0, -1):
        shown = [*names[:n], *([f"{len(names) - n} more"] if len(names) > n else [])]
        if len(text := _either(shown, word)) <= MAX_ANSWERS:
            return text
    return _fitted(names[0], MAX_ANSWERS) if names else ""


# ---------------------------------------------------------------- telling names apart


def _told_apart(names: Sequence[str], difference: Callable[[int], str]) -> list[str]:
    """The names, those that several tasks have with a difference behind them; unchanged where all would have the
    same."""
    out = list(names)
    for alike in _groups(names):
        found = [difference(i) for i in alike]
        if len(set(found)) > 1:
            for i, words in zip(alike, found, strict=True):
                out[i] = _with_difference(names[i], words) if words and words not in names[i] else names[i]
    return out


def _groups(names: Sequence[str]) -> list[list[int]]:
    """The places of each name that is there more than once."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name.casefold(), []).append(i)
    return [found for found in places.values() if len(found) > 1]


def _with_difference(name: str, difference: str) -> str:
    """Both in MAX_NAME characters, each cut to the room that the other leaves, and to half of it at most."""
    room = MAX_NAME - 3
    difference = _fitted(difference, max(room // 2, room - len(name)))
    return f"{_fitted(name, room - len(difference))} ({difference})"


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, with a number behind all but the first of those that nothing tells apart."""
    out, seen = [], set[str]()
    for name in names:
        number, one = 1, name
        while one.casefold() in seen:
            number += 1
            one = f"{_fitted(name, MAX_NAME - 5)} ({number})"
        seen.add(one.casefold())
        out.append(one)
    return out


# ---------------------------------------------------------------- typical words


def typical_words(clues: Sequence[NameClues], n: int = 3) -> list[list[str]]:
    """Of each task the words most typical of its texts against those of the others (c-TF-IDF)."""
    counts = [_counts(one.texts) for one in clues]
    total: Counter[str] = Counter()
    for of_task in counts:
        total.update(of_task)
    average = total.total() / max(1, len(clues))
    return [_most_typical(one, mine, total, average, n) for one, mine in zip(clues, counts, strict=True)]


def _most_typical(
    one: NameClues, mine: Counter[str], total: Counter[str], average: float, n: int
) -> list[str]:
    found = {word for word, c in mine.items() if c >= 2 or len(one.texts) < 4}
    if one.subjects is not None:
        named = Subjects(one.subjects.names[:NAMED_AFTER], one.subjects.least)
        found &= named.shared(map(_words, one.texts[:NAMED_AFTER]))
    scores = {w: mine[w] * math.log(1 + average / total[w]) for w in found}
    return sorted(scores, key=lambda w: (-scores[w], w))[:n]


def _counts(texts: Sequence[str]) -> Counter[str]:
    # a word counts once a text, so that one long letter does not name a task
    return Counter(w for text in texts[:NAMED_AFTER] for w in _words(text))


def _words(text: str) -> set[str]:
    # what is written with a capital is mostly a name, often one that stands for another
    found = (x.strip("'-") for x in _LETTERS.findall(text[:1500]) if x.islower() and "_" not in x)
    return {w for w in found if w not in _STOP and len(w) > 2}
