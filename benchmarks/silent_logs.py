"""SIMULATED logs without any answer, in two halves: one to develop task discovery on, one to check it.

A call has one message of the user with an instruction and a text; the wording of the instruction, its place and the
text change from call to call. The halves have no job, no wording, no text and no foreign language in common, and reword
in different ways. Both are by the author of the method that is measured on them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.labelled_logs import (
    AGENTS,
    TOOLS,
    Slots,
    hostile_text,
    jobs,
    slots_of,
)
from deputize.core.records import Call

KINDS = ("reworded", "long", "reordered", "languages", "all")
HALVES = ("development", "check")

_GERMAN = {
    "sentiment": "sag mir, ob die Bewertung positiv, negativ oder neutral ist",
    "order_fields": "hol Bestellnummer und Artikel als JSON heraus",
    "review_summary": "fasse die Bewertung in einem Satz zusammen",
    "shop_reply": "schreib dem Kunden eine freundliche Antwort",
    "cv_skills": "liste Kenntnisse und Berufsjahre als JSON auf",
    "suitable": "passt die Person auf die Stelle, ja oder nein",
    "job_ad": "verfasse eine Stellenanzeige",
}
_FRENCH = {
    "invoice_fields": "lis sur la facture le bénéficiaire, le montant et l'échéance et donne du JSON",
    "fraud": "ce paiement est-il suspect, réponds par oui ou par non",
    "report_bullets": "résume le rapport en quelques points",
    "triage": "donne le niveau d'urgence du patient",
    "visit_json": "mets la consultation en JSON avec patient, plainte et date",
    "patient_letter": "rédige une lettre au patient",
}


class Ask(NamedTuple):
    """A job of the check half."""

    name: str
    agent: str
    wordings: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    """In the language of its agent; empty where that is English."""
    weight: int = 3


_ASKS = (
    Ask("genre", "library", ("tell me the genre of the book", "which genre does this book belong to"), (), 5),
    Ask(
        "shelf",
        "library",
        ("return shelf mark and author as a JSON object", "give JSON with author and shelf mark"),
    ),
    Ask(
        "blurb",
        "library",
        ("write a blurb for the back cover", "compose a back-cover blurb of three sentences"),
        (),
        2,
    ),
    Ask(
        "clause",
        "lawyer",
        ("say whether the clause is valid or void", "is this clause void, or does it hold"),
        ("di' se la clausola è valida o nulla", "la clausola è nulla oppure regge"),
        4,
    ),
    Ask(
        "deadline",
        "lawyer",
        ("find every deadline and print them as a table", "put all deadlines of the letter into a table"),
        ("trova tutte le scadenze e mettile in una tabella", "fai una tabella con le scadenze della lettera"),
    ),
    Ask(
        "objection",
        "lawyer",
        ("draft an objection to the authority", "write the authority an objection"),
        ("scrivi un ricorso all'ufficio", "prepara il ricorso contro la decisione"),
        2,
    ),
    Ask(
        "ripeness",
        "farm",
        ("grade the ripeness from one to five", "how ripe is the crop on a scale of one to five"),
        ("geef de rijpheid een cijfer van een tot vijf", "hoe rijp is de oogst op een schaal tot vijf"),
        4,
    ),
    Ask(
        "harvest",
        "farm",
        (
            "fill in a harvest record in YAML: field, crop, kilos",
            "make YAML with field, crop and kilos of the harvest",
        ),
        ("maak YAML met perceel, gewas en kilo's", "vul de oogststaat in als YAML"),
    ),
    Ask(
        "market",
        "farm",
        ("suggest a price for the market stall", "what should it cost at the market stall"),
        ("stel een prijs voor de marktkraam voor", "wat moet het kosten op de markt"),
        2,
    ),
    Ask(
        "headline",
        "newspaper",
        ("find a headline of at most eight words", "make up a short headline for the story"),
        ("cria um título com no máximo oito palavras", "inventa uma manchete curta para a notícia"),
        4,
    ),
    Ask(
        "desk",
        "newspaper",
        ("which desk gets this: politics, sport or culture", "send it to a desk - politics, sport, culture"),
        (
            "para que editoria vai isto: política, esporte ou cultura",
            "escolhe a editoria: política, esporte ou cultura",
        ),
    ),
    Ask(
        "facts",
        "newspaper",
        ("check the facts and number the doubtful ones", "number each claim that cannot be proved"),
        ("verifica os factos e numera os duvidosos", "numera cada afirmação que não se pode provar"),
        2,
    ),
)
_HOUSES = {
    "library": "a public library",
    "lawyer": "a law office",
    "farm": "a farm shop",
    "newspaper": "a local newspaper",
}


class Words(NamedTuple):
    """What the texts of a language are made of."""

    subjects: str
    verbs: str
    objects: str
    rest: str
    """Split at commas, as the others are."""


_WORDS: Mapping[str, Words] = {
    "development English": Words(
        "the driver,my aunt,our landlord,a clerk,their neighbour,the old baker,one of the guests,the caretaker,a student,"
        "the whole team,the second owner,his former partner,the woman next door,a sales person,nobody here",
        "sold,painted,forgot,carried away,mentioned,did not want,has ordered,was looking for,could hardly lift,ruined,"
        "exchanged,is proud of,was charged for,paid too much for,never opened",
        "the green door,a set of knives,two tickets,the spare wheel,an umbrella,the last box,her winter coat,some cables,"
        "a cheap printer,the garden hose,the wrong parcel,three chairs,that old radio,a bag of flour",
        "near the station,before lunch,in spring,without a word,for the second time,on the way home,since last week,at noon,"
        "because of the rain,in front of everybody,with both hands,after the holidays",
    ),
    "English": Words(
        "a fisherman,the mayor,two sisters,the night nurse,an engineer,the youngest son,a widow,the choir,some tourists,"
        "the gardener,our teacher,a retired pilot,the committee,his uncle,the shepherd",
        "found,burned,counted,borrowed,kept quiet about,laughed at,repaired,was afraid of,buried,refused,dreamt of,threw away,"
        "had inherited,measured,would not sell",
        "a silver spoon,the church bell,nine letters,an empty barrel,the ferry,a stray dog,the northern gate,some honey,a map,"
        "the broken oar,a red kite,half the flock,the ledger,an anchor",
        "behind the mill,until dawn,during the storm,against all advice,at low tide,under the bridge,many years ago,by mistake,"
        "in the attic,as a joke,when the snow melted,for no reason",
    ),
    "Italian": Words(
        "il sindaco,la nonna,due fratelli,il medico,una turista,il parroco",
        "ha trovato,ha venduto,non voleva,ha perduto,ha contato,teme",
        "una chiave,il vecchio ponte,tre lettere,la barca,un cane,il miele",
        "al mattino,senza dirlo,dopo la festa,in cantina,per sbaglio,da anni",
    ),
    "Dutch": Words(
        "de burgemeester,mijn oma,twee broers,de dokter,een toerist,de molenaar",
        "vond,verkocht,wilde niets van,verloor,telde,droomde van",
        "een sleutel,de oude brug,drie brieven,het bootje,een hond,de honing",
        "in de ochtend,zonder iets te zeggen,na het feest,in de kelder,per ongeluk,al jaren",
    ),
    "Portuguese": Words(
        "o prefeito,minha avó,dois irmãos,o médico,uma turista,o padre",
        "encontrou,vendeu,não queria,perdeu,contou,sonhava com",
        "uma chave,a ponte velha,três cartas,o barco,um cão,o mel",
        "de manhã,sem dizer nada,depois da festa,no porão,por engano,há anos",
    ),
    "German": Words(
        "der Bürgermeister,meine Oma,zwei Brüder,die Ärztin,ein Gast,der Müller",
        "fand,verkaufte,wollte nichts von,verlor,zählte,träumte von",
        "einem Schlüssel,der alten Brücke,drei Briefen,dem Boot,einem Hund,dem Honig",
        "am Morgen,ohne ein Wort,nach dem Fest,im Keller,aus Versehen,seit Jahren",
    ),
    "French": Words(
        "le maire,ma grand-mère,deux frères,la doctoresse,un touriste,le meunier",
        "a trouvé,a vendu,ne voulait pas,a perdu,a compté,craint",
        "une clef,le vieux pont,trois lettres,la barque,un chien,le miel",
        "le matin,sans rien dire,après la fête,à la cave,par erreur,depuis des années",
    ),
}
_LANGUAGES = {
    "development": ("development English", "German", "French"),
    "check": ("English", "Italian", "Dutch", "Portuguese"),
}
_BEFORE = (
    "",
    "",
    "",
    "My boss waits for this. ",
    "Hi! ",
    "Sorry to bother you again. ",
    "Same as last week. ",
    "URGENT ",
)
_AFTER = ("", "", "", " Cheers", " - by noon", " ... you know how", " Thank you so much!", " (second try)")


def load(kind: str, half: str, n: int = 2600, seed: int = 0) -> tuple[list[Call], list[str]]:
    """Calls without an answer and the true task of each.

    Args:
        kind: one of KINDS. Languages: most agents are asked in a language of their own, about texts in several.
        half: one of HALVES.
        n: calls.
        seed: of every draw.
    """
    r = random.Random(f"{kind} {half} {seed}")
    make = _development if half == "development" else _check
    calls: list[Call] = []
    truth: list[str] = []
    for i in range(n):
        own = r.choice(KINDS[:-1]) if kind == "all" else kind
        agent, name, system, user = make(own, r)
        calls.append(
            Call(
                id=f"simulated-{i}",
                messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
                response={},
                episode=f"e{i}",
                agent=f"{agent} (simulated)",
                tools=TOOLS if name == "book_trip" else None,
            )
        )
        truth.append(name)
    return calls, truth


def _development(kind: str, r: random.Random) -> tuple[str, str, str, str]:
    all_jobs = jobs()
    job = r.choices(all_jobs, [j.weight for j in all_jobs])[0]
    slots = slots_of(r)
    system = f"You help {AGENTS[job.agent]}."
    foreign = _GERMAN.get(job.name) or _FRENCH.get(job.name)
    ask = foreign if kind == "languages" and foreign else r.choice(job.asks)
    text = slots[job.thing]
    if kind == "languages":
        text += " " + _passage(r, r.randint(1, 3), _LANGUAGES["development"])
    if kind == "long":
        own = _LANGUAGES["development"][:1]
        text = f"{_passage(r, r.randint(3, 20), own)} {text} {_passage(r, r.randint(3, 20), own)}"
    if kind == "reordered":
        return job.agent, job.name, system, _lines(ask, text, slots, r)
    return job.agent, job.name, system, hostile_text(ask, text, r)


def _check(kind: str, r: random.Random) -> tuple[str, str, str, str]:
    job = r.choices(_ASKS, [a.weight for a in _ASKS])[0]
    ask = r.choice(job.foreign if kind == "languages" and job.foreign else job.wordings)
    languages = _LANGUAGES["check"][: 4 if kind == "languages" else 1]
    text = _passage(r, r.randint(12, 40) if kind == "long" else r.randint(1, 4), languages)
    system = f"Assistant of {_HOUSES[job.agent]}."
    if kind == "reordered":
        lines = [f"> {text}", f"{ask.capitalize()}.", f"Ref {r.randint(100, 99999)}", f"From: {_name(r)}"]
        lines = lines[: r.randint(3, 4)]
        r.shuffle(lines)
        return job.agent, job.name, system, "\n".join(lines)
    ask = _disturbed(ask, r)
    shape = r.random()
    if shape < 0.5:
        user = f"{r.choice(_BEFORE)}{ask}{r.choice((chr(10), ': ', ' >> ', '. '))}{text}"
    elif shape < 0.85:
        user = f'"{text}"{r.choice((chr(10), " ", " ... "))}{ask}'
    else:
        user = f"{text}. So {ask}? {_passage(r, 1, languages)}"
    return job.agent, job.name, system, user + r.choice(_AFTER)


def _disturbed(ask: str, r: random.Random) -> str:
    """An instruction with a slip of the finger, in capitals, with a word left out or one put in."""
    words = ask.split()
    if r.random() < 0.25:
        at = r.randrange(len(words))
        word = words[at]
        if len(word) > 4:
            k = r.randrange(1, len(word) - 2)
            words[at] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    if r.random() < 0.2:
        words.pop(r.randrange(len(words)))
    if r.random() < 0.25:
        words.insert(r.randrange(len(words)), r.choice(("just", "really", "again", "only", "quickly")))
    text = " ".join(words)
    return text.upper() if r.random() < 0.08 else text


def _lines(ask: str, text: str, slots: Slots, r: random.Random) -> str:
    lines = [
        f"{ask.capitalize()}.",
        f"Text: {text}",
        f"Customer: {slots['person']}",
        f"Date: {slots['date']}",
    ]
    if r.random() < 0.5:
        lines.append(f"Channel: {r.choice(('phone', 'mail', 'chat'))}")
    r.shuffle(lines)
    return "\n".join(lines)


def _passage(r: random.Random, n: int, languages: tuple[str, ...]) -> str:
    return " ".join(_sentence(r, _WORDS[r.choice(languages)]) for _ in range(n))


def _sentence(r: random.Random, words: Words) -> str:
    who, does, what, rest = (r.choice(part.split(",")) for part in words)
    if r.random() < 0.3:
        who = _name(r)
    if r.random() < 0.3:
        what = f"{_name(r)} ({r.randint(2, 900)})"
    text = r.choice((f"{who} {does} {what} {rest}", f"{rest} {who} {does} {what}", f"{who} {does} {what}"))
    return text[0].upper() + text[1:] + "."


def _name(r: random.Random) -> str:
    return "".join(
        r.choice("bdfgklmnprstvz") + r.choice("aeiou") for _ in range(r.randint(2, 4))
    ).capitalize()
