"""Our own recognizers: what Presidio's stock ones miss, and secrets. Pure regular expressions, each behind a cheap test.

References:
    The gaps they fill are measured by benchmarks/privacy.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from deputize.stages.curate.dates import find_dates
from deputize.stages.curate.detect import SECRET, Span
from deputize.stages.curate.names import is_name, is_only_name


class Rule(NamedTuple):
    """A pattern for one type. The value is group `v`, or the whole match; `fits` has the last word."""

    type: str
    pattern: re.Pattern[str]
    score: float
    needs: str = ""
    """What a text must hold before the pattern is tried: "#" a digit, else one of the words, parted by '|'."""
    fits: Callable[[str], bool] | None = None


_LETTERS = [chr(c) for c in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))]
_UP = "A-Z" + "".join(c for c in _LETTERS if c.isupper())
_LOW = "a-z" + "".join(c for c in _LETTERS if c.islower())
# possessive, each repeat opened by a mark or a capital: a long word that fails must fail at once
_CAP = rf"[{_UP}](?:[{_LOW}]++|['’.])(?:[-'’](?!s\b)[{_UP}]?[{_LOW}]++|[{_UP}][{_LOW}]++)*+\.?"
"""A capitalised word of a name, an initial with its dot included."""
_FULL_NAME = rf"{_CAP}(?:[ \t\u00a0]+(?:(?:de|da|van|von|der|la|bin|al|del|di)[ \t]+)?{_CAP}){{1,3}}"
_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|[A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{1,2}(?:st|nd|rd|th)? (?:of )?[A-Z][a-z]{2,8},? \d{4})"

PLACEHOLDERS: frozenset[str] = frozenset(
    [
        "string",
        "str",
        "int",
        "integer",
        "number",
        "none",
        "null",
        "true",
        "false",
        "required",
        "optional",
        "password",
        "secret",
        "token",
        "key",
        "value",
        "example",
        "redacted",
        "hidden",
        "admin",
        "root",
        "guest",
        "test",
        "username",
        "user",
        "name",
        "text",
        "type",
        "default",
        "changeme",
        "placeholder",
        "undefined",
        "unknown",
        "n/a",
        "na",
        "your",
        "the",
    ]
)


def _keyed(keys: str, value: str, links: str = r":=|[:=#]|=>|\bis\b|\bwas\b") -> re.Pattern[str]:
    """`key: value`, `"key": "value"`, `KEY = value`, `key is value`; the key may carry a prefix as in DB_PASS."""
    return re.compile(
        rf"(?i:(?<![A-Za-z0-9])(?:[A-Za-z0-9]++[_-]|(?-i:[a-z]++(?=[A-Z]))){{0,3}}(?:{keys}))[\"'*\]]{{0,3}}[ \t\u00a0]*(?:{links})[ \t\u00a0]*[\"'*]{{0,3}}(?P<v>{value})"
    )


def digits_of(text: str) -> str:
    """The digits of a text, in order."""
    return "".join(c for c in text if c.isdigit())


def luhn(text: str) -> bool:
    """Whether the digits of a text end in their Luhn check digit (13 to 19 digits, not all alike)."""
    digits = [int(c) for c in digits_of(text)]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """Whether a text is an IBAN by its modulus 97."""
    compact = re.sub(r"[ -]", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact):
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _ip4(text: str) -> bool:
    parts = [int(p) for p in text.split(".")]
    return (
        all(p < 256 for p in parts)
        and text not in ("0.0.0.0", "127.0.0.1", "255.255.255.255")
        and parts[0] > 0
    )


def _secret_like(text: str) -> bool:
    """A value that looks made, not written: a digit beside letters, or long and of mixed case."""
    plain = text.strip(".,;:!?)")
    if plain.lower() in PLACEHOLDERS or len(set(plain)) < 4 or plain[0] in "<${[(*":
        return False
    has_digit = any(c.isdigit() for c in plain)
    return (has_digit and any(c.isalpha() for c in plain)) or (len(plain) >= 20 and not plain.islower())


def _password_like(text: str) -> bool:
    plain = text.strip(".,;:)")
    if (
        len(plain) < 4
        or plain.lower() in PLACEHOLDERS
        or plain.startswith(("http", "<", "${", "$(", "{", "[", "("))
        or set(plain) <= set("*•xX.-_")
    ):
        return False
    return not plain.isalpha() or not (plain.islower() or plain.istitle())


def _handle(text: str) -> bool:
    return (
        text.lower() not in PLACEHOLDERS
        and any(c.isdigit() or c in "._" for c in text)
        and any(c.isalnum() for c in text)
    )


def _user_name(text: str) -> bool:
    return text.lower() not in PLACEHOLDERS and len(text) > 2


def _has_digit(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _real_date(text: str) -> bool:
    return bool(find_dates(text))


def _named(text: str) -> bool:
    return any(is_name(word) for word in text.split()) and text.split()[0].lower() not in (
        "new",
        "your",
        "the",
    )


def _name_like(text: str) -> bool:
    return (
        text.lower() not in PLACEHOLDERS
        and any(c.isalpha() for c in text)
        and not any(c.isdigit() for c in text)
    )


_SUFFIX = (
    "Street|St|Avenue|Ave|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Terrace|Ter|"
    "Parkway|Pkwy|Highway|Hwy|Square|Sq|Trail|Trl|Crescent|Close|Alley|Loop"
)
_ROLES = (
    "name|full name|patient|customer|client|plaintiff|defendant|witness|employee|applicant|owner|signed|"
    "prepared by|reviewed by|approved by|attn|attention|author|assignee|assigned to|guest|passenger|holder|"
    "account holder|cardholder|beneficiary|subject|tenant|insured|contact|contact person|from|manager|reporter|"
    "deposition of|examination by|counsel for|on behalf of|attorney|judge"
)

RULES: tuple[Rule, ...] = (
    Rule("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.%+'-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,24}(?![\w@])"), 0.95, "@"),
    Rule("US_SSN", re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), 0.9, "#"),
    Rule("US_SSN", _keyed(r"ssn|social security(?: number| no\.?)?|itin", r"\d{3}[- ]?\d{2}[- ]?\d{4}(?!\d)", r":=|[:=#]|=>|\bis\b|\bwas\b|(?=\d)"), 0.95, "#"),
    Rule("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.+-]+%40[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,24}"), 0.95, "%40"),
    Rule("US_SSN", _keyed(r"ssn|social security(?: number| no\.?)?", r"[\dlIOoSBZ]{3}-[\dlIOoSBZ]{2}-[\dlIOoSBZ]{4}(?!\w)", r":=|[:=#]|=>|\bis\b|(?=[\dlIOSBZ])"), 0.8, "#", lambda v: len(digits_of(v)) >= 5),
    Rule("CREDIT_CARD", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), 0.9, "#", luhn),
    Rule("IBAN_CODE", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"), 0.95, "#", iban),
    Rule("IP_ADDRESS", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"), 0.7, "#", _ip4),
    Rule("MAC_ADDRESS", re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])"), 0.95),
    # ---- secrets
    Rule("API_KEY", re.compile(r"(?<![\w-])(?:sk|pk|rk|ak)[-_](?:live[-_]|test[-_]|proj[-_]|ant[-_])?[A-Za-z0-9_-]{10,}"), 0.95, "sk-|sk_|pk-|pk_|rk_|rk-|ak_|ak-", _has_digit),
    Rule("API_KEY", re.compile(r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|xox[abeprs]-[\w-]{10,}|SG\.[\w-]{16,}\.[\w-]{16,}|AIza[\w-]{30,}|(?:AKIA|ASIA|AROA)[A-Z0-9]{16})(?!\w)"), 0.99),
    Rule("API_KEY", re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), 0.99, "eyJ"),
    Rule("API_KEY", re.compile(r"(?i:bearer|basic)\s+(?P<v>[A-Za-z0-9._~+/=-]{16,})"), 0.9, "earer|asic|EARER|ASIC", _secret_like),
    Rule("API_KEY", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s\\n]*(?:-----END [A-Z ]*PRIVATE KEY-----)?)?"), 0.99, "PRIVATE KEY"),
    Rule("API_KEY", re.compile(r"^[ \t]*(?P<v>[A-Za-z0-9+/]{60,}={0,2})[ \t]*$", re.MULTILINE), 0.6, "#", _secret_like),
    Rule("API_KEY", _keyed(r"api[_ -]?keys?(?: for \w+)?|secret(?:[_ -]?(?:key|access[_ -]?key))?|(?:access|auth|bearer|refresh|session|id|api)?[_ -]?token|access[_ -]?key(?:[_ -]?id)?|client[_ -]?secret|private[_ -]?key|authorization", r"(?!Bearer|bearer|Basic)[^\s\"',;()<>{}]{8,}"), 0.85, "", _secret_like),
    Rule("PASSWORD", _keyed(r"password|passwd|passphrase|passcode|pwd|pass", r"[^\s\"',;<>]{4,}|(?<=\")[^\"]{4,}(?=\")", r":=|[:=]|=>|\bis\b"), 0.9, "", _password_like),
    Rule("PASSWORD", re.compile(r"://[^\s:/@]+:(?P<v>[^\s@/]{3,})@"), 0.95, "://"),
    Rule("PASSWORD", _keyed(r"pin(?: ?code)?|otp|verification code|security code|cvv|cvc", r"\d{3,8}(?!\d)"), 0.8, "#"),
    Rule("PASSWORD", re.compile(r"(?i:identified (?:with \w+ )?by(?: password)?)\s+'(?P<v>[^'\n]{4,})'"), 0.95, "BY|by"),
    Rule("USERNAME", re.compile(r"'(?P<v>[\w.-]{2,40})'@'"), 0.9, "'@'"),
    # ---- numbers of a person's papers, accounts and cases
    Rule("MEDICAL_RECORD", re.compile(r"(?<!\w)MRN[-:#\s]{0,3}\d{4,12}(?!\w)"), 0.95, "MRN"),
    Rule("MEDICAL_RECORD", _keyed(r"mrn|medical record(?: number| no\.?)?|patient (?:id|number|no\.?)|chart (?:number|no\.?)", r"[A-Z]{0,4}-?\d[\w-]{3,14}"), 0.9, "#"),
    Rule("POLICY_NUMBER", _keyed(r"policy(?: ?(?:number|no\.?|id|#))|claim ?(?:number|no\.?|id)|member ?(?:id|number|no\.?)|subscriber ?(?:id|number)|insurance ?(?:id|number|no\.?)|group number", r"[A-Z0-9][A-Z0-9-]{4,22}"), 0.85, "#", _has_digit),
    Rule("BANK_ACCOUNT", _keyed(r"(?:bank )?acc(?:oun)?t\.?(?:[_ ]?(?:number|no\.?|num|id))?|routing(?:[_ ]?(?:number|no\.?))?|sort[_ ]code|iban", r"\d[\d -]{4,18}\d(?!\d)", r"[:=#]|=>|\bis\b|\bnumber\b|(?=\d)"), 0.85, "#"),
    Rule("BANK_ACCOUNT", re.compile(r"(?i:\baccount|\bacct\.?)(?: (?i:number|no\.?|ending in))? (?P<v>\d{8,17})(?!\w)"), 0.85, "#"),
    Rule("PASSPORT", _keyed(r"passport(?: ?(?:number|no\.?|#))?", r"[A-Z]{0,2}\d{6,9}(?!\w)"), 0.9, "#"),
    Rule("DRIVER_LICENSE", _keyed(r"driver'?s?'? ?licen[cs]e(?: ?(?:number|no\.?|#))?|licen[cs]e(?: ?(?:number|no\.?|#))?|dl(?: ?(?:number|no\.?|#))?", r"[A-Z]{1,3}[- ]?\d{4,12}(?!\w)"), 0.85, "#"),
    Rule("NATIONAL_ID", re.compile(r"(?<![\w-])NID-\d{5,12}(?!\w)"), 0.95, "NID-"),
    Rule("NATIONAL_ID", _keyed(r"national id(?:entity)?(?: ?(?:number|no\.?|card))?|id ?(?:card )?number|tax ?(?:id|payer id|number)|tin|nin|aadhaar|personal (?:id|number)|steuer-?id|nif|nie|dni", r"[A-Z]{0,3}-?\d[\d A-Z-]{4,16}[\dA-Z](?!\w)"), 0.8, "#"),
    Rule("LICENSE_NUMBER", _keyed(r"bar(?: ?(?:no\.?|number|#))|npi|dea(?: ?(?:no\.?|number|#))?|medical licen[cs]e", r"[A-Z]{0,3}[- ]?\d{4,10}(?!\w)", r"[:=#]|\bis\b|(?=[A-Z\d])"), 0.9, "#"),
    Rule("CASE_NUMBER", re.compile(r"(?<![\w-])\d{4}-[A-Z]{2,5}-\d{3,7}(?![\w-])"), 0.85, "#"),
    Rule("CASE_NUMBER", re.compile(r"(?<![\w:])\d{1,2}:\d{2}-[a-z]{2}-\d{4,6}(?:-[A-Z]{2,3})*(?![\w-])"), 0.95, "#"),
    Rule("USERNAME", _keyed(r"user ?name|screen name|login(?: name)?|db[_ ]user|handle", r"[\w.@+-]{3,40}(?<![.])", r":=|[:=]|=>|\bis\b"), 0.8, "", _user_name),
    Rule("USERNAME", _keyed(r"user(?:[_ -]?id)?|uid|login[_ -]?id|account[_ -]?name", r"[A-Za-z0-9][\w.@+-]{2,39}(?<![.])", r":=|[:=#]|=>|\bis\b|\bas\b"), 0.7, "", _handle),
    # ---- who and where
    Rule("DATE_OF_BIRTH", _keyed(r"dob|d\.o\.b\.?|date[_ ]of[_ ]birth|birth[_ ]?(?:date|day)|born(?: on)?", _DATE, r"[:=]|=>|\bis\b|\bwas\b|(?=\d|[A-Z])"), 0.95, "#", _real_date),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w.-])\d{{1,6}}[A-Za-z]?,?[ \t]+(?:[NSEW]{{1,2}}\.?[ \t]+|(?:North|South|East|West)[ \t]+)?(?:{_CAP}[ \t]+|\d{{1,3}}(?:st|nd|rd|th)[ \t]+){{1,4}}(?:{_SUFFIX})\b\.?(?:,?[ \t]+(?:Apt|Apartment|Suite|Ste|Unit|Floor|#)\.?[ \t]*\w{{1,6}})?(?:,[ \t]*{_CAP}(?:[ \t]+{_CAP}){{0,2}}(?:,?[ \t]+[A-Z]{{2}}(?:[ \t]+\d{{5}}(?:-\d{{4}})?)?)?)?(?!\w)"), 0.9, "#"),
    Rule("STREET_ADDRESS", _keyed(r"address[_ ]?(?:line)?[_ ]?[12]?|street(?: ?address)?|residing at|lives at", r"\d{1,6}[ \t]+[^\n\"|;]{3,60}?(?=[\"\n|;]|\.\s|$)", r"[:=]|=>|(?=\d)"), 0.8, "#"),
    Rule("STREET_ADDRESS", re.compile(r"\"(?:zip|zip_?code|postal_?code|postcode)\"\s*:\s*\"(?P<v>[A-Z0-9][A-Z0-9 -]{3,9})\""), 0.8, "#"),
    Rule("PERSON", re.compile(r"\"(?:first_?name|last_?name|sur_?name|family_?name|given_?name|middle_?name|full_?name|maiden_?name|(?:customer|client|patient|guest|passenger|contact|employee|owner|sender|recipient|holder|account_?holder|cardholder)_?name)\"\s*:\s*\"(?P<v>[^\"\\]{2,60})\"", re.IGNORECASE), 0.9, "ame\"|AME\"", _name_like),
    Rule("PERSON", re.compile(rf"(?<!\w)(?P<v>(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Sr|Sra)\.?[ \t]+{_CAP}(?:[ \t]+{_CAP}){{0,2}})"), 0.85, "Mr|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Sr"),
    Rule("PERSON", re.compile(rf"(?i:\b(?:{_ROLES}))\**[ \t\u00a0]*[:=]\**[ \t\u00a0]*[\"']?(?P<v>{_FULL_NAME})(?![\w@])"), 0.8, ":|=", _named),
    Rule("PERSON", re.compile(rf"\b(?:deposition of|examination by|counsel for|between|signed by|on behalf of|DEPOSITION OF|EXAMINATION BY)[ \t]+(?P<v>{_FULL_NAME})(?!\w)"), 0.75, "", _named),
    Rule("PERSON", re.compile(rf"(?i:\b(?:my name is|my name's|name is|this is|i am|i'm|call me))[ \t]+(?P<v>{_FULL_NAME})(?!\w)"), 0.85, "", _named),
    Rule("PERSON", re.compile(r"(?i:\bmy (?:full )?name is|\bmy name's)[ \t]+(?!(?:on|in|at|to|not|no|the|a|an|my|still|also|wrong|missing|listed|misspell?ed|spelled)\b)(?P<v>[^\W\d_]{2,20}(?:[ \t]+(?!and\b|i\b|my\b|im\b|on\b|in\b|the\b|from\b|with\b|can\b|please\b|or\b)[^\W\d_]{2,20})?)"), 0.8, "ame is|ame's|AME IS", _name_like),
    Rule("PERSON", re.compile(rf"(?<!\w)(?:Dear|Hi|Hello|Hey|Thanks|Regards|Sincerely|Cheers|Best),?[ \t]+(?P<v>{_FULL_NAME})(?=[ \t]*[,.!:\n]|$)"), 0.75, "Dear|Hi|Hello|Hey|Thanks|Regards|Sincerely|Cheers|Best", _named),
    Rule("PERSON", re.compile(r"[?&](?:name|first_?name|last_?name|user)=(?P<v>[A-Za-z][A-Za-z'’.+%-]*(?: [A-Z][a-z'-]+)?)"), 0.8, "?|&"),
    Rule("PERSON", re.compile(rf"\b(?:Customer|Patient|Client|Employee|Witness|Applicant|Guest|Passenger|Plaintiff|Defendant|Agent|Nurse|Attorney|Officer)[ \t]+(?P<v>{_CAP}(?:[ \t]+{_CAP})?)(?!\w)"), 0.65, "", _named),
    Rule("JOB_TITLE", re.compile(r"\b(?:(?:Senior|Junior|Lead|Chief|Head|Principal|Assistant|Staff|Deputy) )*(?:[A-Z][a-z]+ ){0,2}(?:Engineer|Manager|Officer|Analyst|Scientist|Director|Designer|Representative|Advisor|Accountant|Administrator|Consultant|Technician|Coordinator|Developer|Architect|Nurse|Physician|Paralegal)\b|\b(?:VP|Vice President|Head|Director) of [A-Z][a-z]+(?: [A-Z][a-z]+)?"), 0.6),
    Rule("ORGANIZATION", re.compile(r"(?<!\w)(?:[A-Z][\w&-]+ ){1,3}(?:Inc|LLC|Ltd|Corp|Corporation|Group|Industries|Holdings|GmbH|Company|Enterprises|Solutions|Systems|Technologies|Healthcare|Hospital|University|Bank|Associates)\b\.?"), 0.6),
    Rule("PERSON", re.compile(r"(?<![\w*])[A-Z]\*{2,}(?: [A-Z]\*{2,})*(?![\w*])"), 0.7, "**"),
    Rule("PERSON", re.compile(r"(?<=[A-Za-z:,\]] )(?P<v>[\u4e00-\u9fff\uac00-\ud7af]{1,3} [\u4e00-\u9fff\uac00-\ud7af]{1,3})(?![\u4e00-\u9fff\uac00-\ud7af])"), 0.55),
    Rule("MEDICATION", re.compile(r"(?<!\w)[A-Z][a-z]{3,}(?:[ -][A-Z]?[a-z]+)? \d{1,4}(?:\.\d+)? ?(?:mg|mcg|ml|µg|units)\b"), 0.85, "#"),
    Rule("MEDICATION", re.compile(r"(?<!\w)(?i:[a-z]{2,}(?:pril|sartan|olol|statin|azole|cillin|mycin|floxacin|gliptin|prazole|tidine|oxetine|azepam|metformin))(?!\w)|(?i:\b(?:metformin|insulin|aspirin|ibuprofen|warfarin|sertraline|gabapentin|levothyroxine|albuterol|prednisone)\b)"), 0.7),
    Rule("HEALTH_CONDITION", re.compile(r"(?i:\b(?:type [12] diabetes(?: mellitus)?|diabetes(?: mellitus)?|hypertension|asthma|osteoarthritis|arthritis|migraines?|epilepsy|depression|bipolar disorder|schizophrenia|anxiety disorder|chronic [a-z]+ [a-z]+ disease|chronic kidney disease|copd|hiv(?: positive)?|hepatitis [abc]|hyperlipidemia|hypothyroidism|pneumonia|tuberculosis|[a-z]+ cancer|leukemia|lymphoma)\b)"), 0.7),
)  # fmt: skip

_CAPITALISED = re.compile(rf"(?<![\w.@-]){_CAP}(?:[ \t\u00a0]+{_CAP})+(?![\w@])")
_ONE_WORD = re.compile(r"\S+")
_PHONE = re.compile(r"(?<![\w.+-])(?<!\d[/:])\+?\(?\d(?:[ \t().-]{0,3}\d){6,14}(?![\w]|[./:-]\d)")
_PHONE_WORD = re.compile(
    r"(?i)(?:phone|tel|call|mobile|cell|fax|contact|whatsapp|text|reach|dial)[\w ]{0,20}[.:#=\"' ]*$"
)
_NANP = re.compile(r"\(?\d{3}\)?[-. ]?[ ]?\d{3}[-. ]\d{4}")
_DATE_LIKE = re.compile(r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")


class _Rules:
    """Rules that are tried only where the text holds what they need."""

    name = ""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [
            (rule, tuple(rule.needs.split("|")) if rule.needs not in ("", "#") else ()) for rule in rules
        ]

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self._one(text) if text and not text.isspace() else [] for text in texts]

    def _one(self, text: str) -> list[Span]:
        has_digit = any(c.isdigit() for c in text)
        spans: list[Span] = []
        for rule, words in self._rules:
            if (rule.needs == "#" and not has_digit) or (words and not any(w in text for w in words)):
                continue
            for match in rule.pattern.finditer(text):
                group: str | int = "v" if "v" in rule.pattern.groupindex else 0
                start = match.start(group)
                value = match[group].rstrip(".,;:)!?") if rule.type in _TRIMMED else match[group].rstrip()
                if value and (rule.fits is None or rule.fits(value)):
                    spans.append(Span(rule.type, start, start + len(value), rule.score, self.name))
        return spans


class SecretDetector(_Rules):
    """Keys, tokens and passwords alone, by the rules for them."""

    name = "secrets"

    def __init__(self) -> None:
        super().__init__([rule for rule in RULES if rule.type in SECRET])


class RuleDetector(_Rules):
    """Our recognizers as one detector, secrets included."""

    name = "rules"

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        super().__init__(rules)

    def _one(self, text: str) -> list[Span]:
        spans = super()._one(text) + self._names(text)
        if any(c.isdigit() for c in text):
            spans += self._phones(text)
            spans += [
                Span("DATE_TIME", f.start, _clock_end(text, f.end), 0.6, self.name) for f in find_dates(text)
            ]
        return spans

    def _names(self, text: str) -> list[Span]:
        """Neighbouring capitalised words that are all in the gazetteer of names, one of them hardly anything else."""
        out: list[Span] = []
        for run in _CAPITALISED.finditer(text):
            together: list[re.Match[str]] = []
            for word in [*_ONE_WORD.finditer(text, *run.span()), None]:
                if word is not None and (
                    is_name(word.group()) or (together and len(word.group().rstrip(".")) == 1)
                ):
                    together.append(word)
                    continue
                if len(together) > 1 and any(is_only_name(w.group()) for w in together):
                    end = together[-1].end() - (together[-1].group()[-1] in ".'’")
                    out.append(Span("PERSON", together[0].start(), end, 0.55, self.name))
                together = []
        return out

    def _phones(self, text: str) -> list[Span]:
        """Phone numbers by the phonenumbers library at leniency 0 (possible), asked only where the shape is right."""
        out: list[Span] = []
        for match in _PHONE.finditer(text):
            found = match.group()
            start = match.start()
            if found.startswith("(") and ")" not in found:
                found, start = found[1:], start + 1
            score = _phone_score(found, text[max(0, start - 40) : start])
            if score and _possible(found):
                out.append(Span("PHONE_NUMBER", start, start + len(found), score, self.name))
        return out


_TRIMMED = frozenset({"API_KEY", "PASSWORD", "USERNAME", "STREET_ADDRESS"})
_CLOCK = re.compile(r"[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")


def _clock_end(text: str, at: int) -> int:
    clock = _CLOCK.match(text, at)
    return clock.end() if clock else at


def _phone_score(found: str, before: str) -> float:
    """How far the look of a number and the words before it speak for a phone; 0 says it is something else."""
    digits = digits_of(found)
    if len(set(digits)) < 3 or _DATE_LIKE.fullmatch(found):
        return 0.0
    if found.startswith("+"):
        return 0.9
    if _NANP.fullmatch(found) and len(digits) == 10:
        return 0.85
    if len(digits) >= 7 and _PHONE_WORD.search(before):
        return 0.75
    return 0.5 if found.startswith(("(", "0")) and len(digits) >= 9 and not found.isdigit() else 0.0


def _possible(found: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(found, None if found.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number)) or not found.startswith("+")
