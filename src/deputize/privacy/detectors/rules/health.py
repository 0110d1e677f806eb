"""Rules for medications and health conditions."""

from __future__ import annotations

import re

from deputize.privacy.detectors.rules.rule import PLACEHOLDERS, STATE_WORDS, Rule, keyed

_NOT_ILLNESSES = frozenset([
    "diagnosis", "prognosis", "osmosis", "symbiosis", "mitosis", "meiosis", "metamorphosis", "hypnosis", "aroma",
    "chroma", "diploma", "coma", "sympathy", "empathy", "apathy", "telepathy", "antipathy", "academia", "bohemia",
    "nostalgia", "oklahoma", "tacoma", "sonoma", "roma", "paloma",
])  # fmt: skip

_ILLNESS_ENDINGS = ("itis", "osis", "aemia", "emia", "pathy", "oma", "algia", "plegia", "penia", "ectasia")

_MEDICINE_STEMS = (
    "pril", "sartan", "olol", "statin", "azole", "cillin", "mycin", "floxacin", "gliptin", "tidine", "oxetine",
    "zepam", "zolam", "xaban", "gatran", "gliflozin", "glutide", "glitazone", "dipine", "triptan", "setron",
    "ciclovir", "cyclovir", "navir", "asvir", "lizumab", "tuzumab", "limab", "nimab", "ximab", "rtinib", "tinib",
    "parib", "cycline", "sone", "solone", "caine", "barbital", "fibrate", "thiazide", "semide", "nafil", "dronate",
    "parin", "grel", "zosin", "meterol", "moterol", "tropium", "lukast", "profen", "fenac", "oxicam", "coxib",
    "codone", "morphone", "fentanil", "apine", "thyroxine", "traline", "pentin", "racetam", "triptyline",
    "pramine", "peridol", "peridone", "glargine", "buterol", "farin", "lopram", "faxine", "dopa",
)  # fmt: skip
"""Stems of the international non-proprietary names of medicines (WHO, the use of stems in the selection of INN)."""

_DOSE = (
    r"(?:[ \t](?:XR|ER|SR|CR|HCl|sodium))?(?:,?[ \t]\d{1,4}(?:\.\d+)?[ \t]?(?:mg|mcg|ml|µg|g|units?|IU)\b)?"
)

_SMALL_WORDS = (
    "a|an|the|of|with|for|from|and|or|any|this|that|his|her|my|your|our|their|has|have|had|is|was|are|about|no|to|in|on|"
    "by|at|patients?|diagnosed|suffers?|treated|history|family|against|such|as|new|some|other|which|what|i|he|she|who"
)


def _is_illness(text: str) -> bool:
    folded = text.lower()
    return folded.endswith(_ILLNESS_ENDINGS) and folded not in _NOT_ILLNESSES


def _is_medicine(text: str) -> bool:
    return text.lower() not in PLACEHOLDERS | STATE_WORDS and text.lower() not in (
        "reminders",
        "reminder",
        "list",
        "names",
        "info",
    )


def _has_medicine_stem(text: str) -> bool:
    word = text.split()[0].rstrip(",").lower()
    return word.endswith(_MEDICINE_STEMS) and word not in _MEDICINE_STEMS


HEALTH_RULES: tuple[Rule, ...] = (
    Rule("MEDICATION", re.compile(r"(?<!\w)[A-Z][a-z]{3,}(?:[ -][A-Z]?[a-z]+)? \d{1,4}(?:\.\d+)? ?(?:mg|mcg|ml|µg|units)\b"), 0.85, "#"),
    Rule("MEDICATION", re.compile(rf"(?<!\w)[A-Za-z]{{6,}}+(?!\w){_DOSE}"), 0.7, "", _has_medicine_stem),
    Rule("MEDICATION", re.compile(rf"(?i:\b(?:metformin|insulin|aspirin|paracetamol|acetaminophen|lithium|morphine|methadone)\b){_DOSE}"), 0.7, "metformin|insulin|aspirin|paracetamol|acetaminophen|lithium|morphine|methadone"),
    Rule("MEDICATION", keyed(r"medications?|medicines?|meds|drug(?:[_ ]?name)?|rx|medikament", r"[A-Za-z][A-Za-z-]{3,30}(?:[ \t][A-Z]{2})?" + _DOSE, r"[:=]|=>"), 0.75, "medic|meds|drug|rx|medikament", _is_medicine),
    Rule("MEDICATION", re.compile(rf"(?i:\bprescribed(?: (?:him|her|them|me))?|\bprescription (?:for|of)|\brefill(?: of| my)?|\ballergic to)[ \t]+(?P<v>[A-Z][a-z]{{3,}}{_DOSE})"), 0.7, "rescri|efill|llergic"),
    Rule("HEALTH_CONDITION", re.compile(r"(?i:\b(?:type [12] diabetes(?: mellitus)?|diabetes(?: mellitus)?|hypertension|asthma|migraines?|epilepsy|depression|schizophrenia|chronic [a-z]+ [a-z]+ disease|copd|hiv(?: positive)?|hepatitis [abc]|hyperlipidemia|hypothyroidism|hyperthyroidism|pneumonia|[a-z]+ (?:cancer|fibrillation|sclerosis|dystrophy)|cancer|leukemia|gout|eczema|stroke|heart (?:failure|attack)|ptsd|adhd)\b)"), 0.7, "diabet|tension|asthma|migraine|epileps|depress|schizo|chronic|copd|hiv|hepatitis|lipidemia|thyroid|pneumonia|cancer|fibrill|scleros|dystroph|leukemia|gout|eczema|stroke|heart |ptsd|adhd"),
    Rule("HEALTH_CONDITION", re.compile(rf"(?i:\b(?:(?!(?:{_SMALL_WORDS})\b)[a-z][a-z'’-]+ ){{1,3}}(?:disorder|disease|syndrome)\b)"), 0.7, "isorder|isease|yndrome|ISORDER|ISEASE|YNDROME"),
    Rule("HEALTH_CONDITION", re.compile(r"(?<!\w)[A-Za-z]{6,}+(?!\w)"), 0.65, "itis|osis|emia|pathy|oma|algia|plegia|penia|ectasia", _is_illness),
    Rule("HEALTH_CONDITION", re.compile(r"(?i:\bICD-?(?:9|10)(?:-?CM)?(?: code)?)[ \t:=-]*(?P<v>[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)(?!\w)"), 0.9, "#"),
)  # fmt: skip
"""In the order in which they are tried."""
