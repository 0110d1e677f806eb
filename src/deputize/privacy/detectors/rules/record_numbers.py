"""Rules for numbers of a person's records, accounts and cases, and for user names."""

from __future__ import annotations

import re

from deputize.privacy.check_digits import digits_of
from deputize.privacy.detectors.rules.rule import LINKS, PLACEHOLDERS, STATE_WORDS, Rule, is_user_name, keyed

_LINK_OR_NONE = rf"{LINKS}|(?=[A-Z]{{0,4}}[-/]?\d)"
"""A number of papers may follow its key at once: "policy no 55120098"."""

_NUMBER_WORD = r"[_ -]?(?:numbers?|no\.?|nr\.?|num|ids?|code|\#)"
"""What makes a word the key of a number; always written without a gap in camelCase keys."""

_RECORD_NUMBER = r"[A-Za-z0-9][A-Za-z0-9/-]{1,22}(?: (?:[A-Z]{1,3} )?\d{2,}[A-Za-z0-9/-]*){0,4}(?![\w])"
"""A number of papers: letters, digits and dashes, then groups that hold two digits at least."""


def _is_record_number(text: str) -> bool:
    """A number of papers: at least four letters and digits, two of them digits."""
    return sum(c.isalnum() for c in text) >= 4 and len(digits_of(text)) >= 2


def _is_user_folder(text: str) -> bool:
    return is_user_name(text) and text.lower() not in (
        "public",
        "shared",
        "all users",
        "ubuntu",
        "runner",
        "app",
        "default",
    )


def _is_handle(text: str) -> bool:
    return (
        text.lower() not in PLACEHOLDERS
        and any(c.isdigit() or c in "._" for c in text)
        and any(c.isalnum() for c in text)
    )


def _is_user_id(text: str) -> bool:
    """An id of letters alone is a person's log-in; what is said of ids instead is not."""
    return is_user_name(text) and text.lower() not in STATE_WORDS and not text.isupper()


RECORD_NUMBER_RULES: tuple[Rule, ...] = (
    Rule("MEDICAL_RECORD", re.compile(r"(?<!\w)MRN[-:#\s]{0,3}\d{4,12}(?![\w-])"), 0.95, "MRN"),
    Rule("MEDICAL_RECORD", keyed(rf"mrn|(?:med(?:ical)?\.?|health|hospital|clinical)[_ ]?(?:rec(?:ord)?s?\.?)?{_NUMBER_WORD}|medical[_ ]record|(?:patient|pt\.?|chart|admission|encounter){_NUMBER_WORD}|patienten-?(?:nummer|nr\.?|id)|fall-?nummer", _RECORD_NUMBER, _LINK_OR_NONE), 0.9, "#", _is_record_number),
    Rule("POLICY_NUMBER", keyed(rf"policy{_NUMBER_WORD}?|claims?{_NUMBER_WORD}|member(?:ship)?{_NUMBER_WORD}|subscriber(?:{_NUMBER_WORD})?|insurance(?: (?:policy|plan|card|certificate))?{_NUMBER_WORD}|insurance policy|group{_NUMBER_WORD}|certificate{_NUMBER_WORD}|versicherungs-?(?:nummer|nr\.?|schein)|polic[ey][ _-]?nr\.?", _RECORD_NUMBER, LINKS), 0.85, "#", _is_record_number),
    Rule("POLICY_NUMBER", keyed(rf"policy{_NUMBER_WORD}|claims?{_NUMBER_WORD}|member(?:ship)?{_NUMBER_WORD}|subscriber{_NUMBER_WORD}?|insurance(?: (?:policy|plan|card|certificate))?{_NUMBER_WORD}|group{_NUMBER_WORD}|certificate{_NUMBER_WORD}|versicherungs-?(?:nummer|nr\.?)|police nr\.?", _RECORD_NUMBER, r"(?=[A-Z]{0,4}[-/]?\d)"), 0.8, "#", _is_record_number),
    Rule("POLICY_NUMBER", re.compile(r"(?i:\b(?:claim|policy))[ \t]+(?P<v>[A-Z]{2,4}[-/]?\d[A-Z0-9/-]{3,20})(?!\w)"), 0.8, "#claim|policy"),
    Rule("BANK_ACCOUNT", keyed(r"(?:bank )?acc(?:oun)?t\.?(?:[_ ]?(?:number|no\.?|num|id))?|routing(?:[_ ]?(?:number|no\.?))?|sort[_ -]code|iban|konto-?(?:nummer|nr\.?)|aba|(?:checking|savings)(?: account)?", r"\d[\d -]{4,18}\d(?!\d)", r"[:=#]|=>|\bis\b|\bnumber\b|(?=\d)"), 0.85, "#"),
    Rule("BANK_ACCOUNT", re.compile(r"(?i:\baccount|\bacct\.?)(?: (?i:number|no\.?|ending in))? (?P<v>\d{8,17})(?!\w)"), 0.85, "#"),
    Rule("BANK_ACCOUNT", keyed(r"bic|swift(?:[ /-]?bic)?(?: ?code)?", r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?!\w)", rf"{LINKS}|(?=[A-Z]{{6}}[A-Z0-9]{{2}})"), 0.85, "bic|swift"),
    Rule("PASSPORT", keyed(rf"(?:passport|reisepass)(?:{_NUMBER_WORD})?", r"(?=(?:[A-Z]*\d){4})[A-Z0-9]{6,9}(?!\w)", rf"{LINKS}|(?=[A-Z]{{0,2}}\d)"), 0.9, "#"),
    Rule("DRIVER_LICENSE", keyed(r"driver'?s?'? ?licen[cs]e(?: ?(?:number|no\.?|#))?|licen[cs]e(?: ?(?:number|no\.?|#))?|dl(?: ?(?:number|no\.?|#))?", r"[A-Z]{1,3}[- ]?\d{3,12}(?:[- ]\d{3,6}){0,4}(?![\w-])|[A-Z9]{5}\d{6}[A-Z0-9]{5}(?!\w)", rf"{LINKS}|(?=[A-Z]{{1,3}}[- ]?\d{{3}}|[A-Z9]{{5}}\d{{6}})"), 0.85, "#"),
    Rule("NATIONAL_ID", re.compile(r"(?<![\w-])NID-\d{5,12}(?!\w)"), 0.95, "NID-"),
    Rule("NATIONAL_ID", keyed(r"national id(?:entity)?(?: ?(?:number|no\.?|card))?|id ?(?:card )?number|tax ?(?:id|payer id|number)|tin|nin|aadhaar|personal (?:id|number)|steuer-?id|nif|nie|dni", r"[A-Z]{0,3}-?\d[\d A-Z-]{4,16}[\dA-Z](?!\w)"), 0.8, "#"),
    Rule("LICENSE_NUMBER", keyed(r"bar(?: ?(?:no\.?|number|#))|npi|dea(?: ?(?:no\.?|number|#))?|medical licen[cs]e", r"[A-Z]{0,3}[- ]?\d{4,10}(?!\w)", r"[:=#]|\bis\b|(?=[A-Z\d])"), 0.9, "#"),
    Rule("CASE_NUMBER", re.compile(r"(?<![\w-])\d{4}-[A-Z]{2,5}-\d{3,7}(?![\w-])"), 0.85, "#"),
    Rule("CASE_NUMBER", re.compile(r"(?<![\w:])\d{1,2}:\d{2}-[a-z]{2}-\d{4,6}(?:-[A-Z]{2,3})*(?![\w-])"), 0.95, "#"),
    Rule("USERNAME", keyed(r"user[ _-]?name|benutzername|screen name|login(?: name)?|db[_ ]user|handle", r"[\w.@+-]{3,40}(?<![.])", r":=|[:=]|=>|\b(?:is|lautet)\b|(?=@\w)"), 0.8, "user|benutzer|screen|login|handle", is_user_name),
    Rule("USERNAME", keyed(r"user[_ -]?id|login[_ -]?id", r"[A-Za-z][\w.+-]{3,39}(?<![.])", r":=|[:=]"), 0.7, "user|login", _is_user_id),
    Rule("USERNAME", re.compile(r"(?i:\b(?:logged|signed|log|sign)(?:[ -]?in| on)? as|\bsudo -u|\bsu -)[ \t]+[\"']?(?P<v>[A-Za-z][\w.-]{2,39}(?<![.]))"), 0.75, "as |sudo|su -", _is_handle),
    Rule("USERNAME", re.compile(r"(?<![\w.@/:+-])(?P<v>[A-Za-z_][\w.-]{1,31})@(?=\d{1,3}(?:\.\d{1,3}){3}\b|[a-z][a-z0-9-]*(?:[:\s]|$))"), 0.7, "@", is_user_name),
    Rule("USERNAME", re.compile(r"(?:/home/|/Users/|\b[A-Za-z]:\\{1,2}Users\\{1,2})(?P<v>[^\s/\\:\"'<>{}$*]{2,32})"), 0.75, "home/|Users", _is_user_folder),
    Rule("USERNAME", keyed(r"user(?:[_ -]?id)?|uid|login[_ -]?id|account[_ -]?name", r"[A-Za-z0-9][\w.@+-]{2,39}(?<![.])", r":=|[:=#]|=>|\bis\b|\bas\b"), 0.7, "user|uid|login|account", _is_handle),
)  # fmt: skip
"""In the order in which they are tried."""
