"""Our own recognizers: what Presidio's stock ones miss, and secrets. Pure regular expressions, each behind a cheap test.

References:
    The gaps they fill are measured by benchmarks/privacy.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from deputize.privacy.dates import find_dates
from deputize.privacy.detectors.base import SECRET, Span
from deputize.privacy.detectors.gazetteer import is_name, is_only_name


class Rule(NamedTuple):
    """A pattern for one type. The value is group `v`, or the whole match; `fits` has the last word."""

    type: str
    pattern: re.Pattern[str]
    score: float
    needs: str = ""
    """What a text must hold before the pattern is tried, in any case: "#" a digit, and one of the words, parted by '|'."""
    fits: Callable[[str], bool] | None = None


_LETTERS = [chr(c) for c in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))]
_UP = "A-Z" + "".join(c for c in _LETTERS if c.isupper())
_LOW = "a-z" + "".join(c for c in _LETTERS if c.islower())
# possessive, each repeat opened by a mark or a capital: a long word that fails must fail at once
_CAP = rf"[{_UP}](?:[{_LOW}]++|['’.])(?:[-'’](?!s\b)[{_UP}]?[{_LOW}]++|[{_UP}][{_LOW}]++)*+\.?"
"""A capitalised word of a name, an initial with its dot included."""
_FULL_NAME = rf"{_CAP}(?:[ \t\u00a0]+(?:(?:de|da|van|von|der|la|bin|al|del|di)[ \t]+)?{_CAP}){{1,3}}"
_PLAIN = rf"[{_UP}][{_LOW}]++(?:[-'’][{_UP}]?[{_LOW}]++)*"
"""A capitalised word without a dot: a sentence may end after it."""
_TOWN = rf"(?:St\.[ \t])?[{_UP}][{_LOW}]++(?:[ \t-][{_UP}][{_LOW}]++){{0,2}}"
_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|[A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{1,2}(?:st|nd|rd|th)? (?:of )?[A-Z][a-z]{2,8},? (?:\d{4}|['’]?\d{2})(?!\d))"
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
_PART_OF_DATE = rf"(?:{_MONTH}\.?,? (?:19|20)\d\d|(?:0?[1-9]|1[0-2])/(?:19|20)\d\d|(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?![-\d])|(?:19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?!\d))"
_BIRTH = r"dob|d\.o\.b\.?|date[_ ]of[_ ]birth|birth[_ ]?(?:date|day)|born(?: on| in)?|geb(?:oren|\.)?(?: am)?|geburtsdatum|date de naissance|fecha de nacimiento"

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


_LINKS = r":=|[:=#]|=>|->|\b(?:is|was|are|lautet)\b"
_OR_NONE = rf"{_LINKS}|(?=[A-Z]{{0,4}}[-/]?\d)"
"""A number of papers may follow its key at once: "policy no 55120098"."""
_NUMBER = r"[_ -]?(?:numbers?|no\.?|nr\.?|num|ids?|code|\#)"
"""What makes a word the key of a number; always written without a gap in camelCase keys."""
_ID = r"[A-Za-z0-9][A-Za-z0-9/-]{1,22}(?: (?:[A-Z]{1,3} )?\d{2,}[A-Za-z0-9/-]*){0,4}(?![\w])"
"""A number of papers: letters, digits and dashes, then groups that hold two digits at least."""


def _keyed(keys: str, value: str, links: str = _LINKS) -> re.Pattern[str]:
    """`key: value`, `"key": "value"`, `KEY = value`, `key is value`, a key alone on its line above its value; the key
    may carry a prefix as in DB_PASS, quotes may be escaped."""
    return re.compile(
        rf"(?i:(?<![A-Za-z0-9])(?:[A-Za-z0-9]++[_-]|(?-i:[a-z]++(?=[A-Z]))){{0,3}}(?:{keys}))[\\\"'*\]]{{0,4}}[ \t\u00a0]*(?:(?:{links})[ \t\u00a0]*|:?[ \t\r]*\n[ \t]*)[\\\"'*]{{0,4}}(?P<v>{value})"
    )


_STATES: frozenset[str] = frozenset([
    "wrong", "incorrect", "correct", "invalid", "valid", "expired", "missing", "needed", "mandatory", "weak",
    "strong", "reset", "changed", "change", "forgotten", "forgot", "forget", "unset", "empty", "blank", "hash",
    "hashed", "encrypted", "encoded", "plain", "field", "input", "form", "login", "success", "failed", "error",
    "please", "enter", "current", "new", "old", "same", "min", "minimum", "must", "should", "your", "this", "that",
    "account", "characters", "boolean", "varchar", "object", "array", "any", "sent", "shown", "stored", "saved",
    "updated", "here", "below", "above", "confirm", "confirmation", "protected",
])  # fmt: skip
"""What is said of a password, a user or a key instead of naming it."""


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
    plain = text.strip(".,;:)}]")
    first = plain.split()[0].lower() if plain.strip() else ""
    if first != plain.lower() and first in (PLACEHOLDERS | _STATES | {"a", "an"}):
        return False
    if (
        len(plain) < 4
        or plain.lower() in PLACEHOLDERS
        or plain.startswith(("http", "<", "${", "$(", "{", "[", "("))
        or set(plain) <= set("*•xX.-_")
    ):
        return False
    return not plain.isalpha() or not (plain.islower() or plain.istitle())


def _any_word(text: str) -> bool:
    """A password that may be an ordinary word, where the form leaves no doubt that one stands there."""
    plain = text.strip(".,;:)")
    return _password_like(text) or (
        len(plain) >= 6 and plain.isalpha() and plain.lower() not in PLACEHOLDERS | _STATES
    )


def _paper(text: str) -> bool:
    """A number of papers: at least four letters and digits, two of them digits."""
    return sum(c.isalnum() for c in text) >= 4 and len(digits_of(text)) >= 2


def _place_of_user(text: str) -> bool:
    return _user_name(text) and text.lower() not in (
        "public",
        "shared",
        "all users",
        "ubuntu",
        "runner",
        "app",
        "default",
    )


def _all_names(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text)
    return all(is_name(w) for w in words) and any(is_only_name(w) for w in words)


def _sign_off(text: str) -> bool:
    return is_only_name(text)


_NO_ILLNESS = frozenset([
    "diagnosis", "prognosis", "osmosis", "symbiosis", "mitosis", "meiosis", "metamorphosis", "hypnosis", "aroma",
    "chroma", "diploma", "coma", "sympathy", "empathy", "apathy", "telepathy", "antipathy", "academia", "bohemia",
    "nostalgia", "oklahoma", "tacoma", "sonoma", "roma", "paloma",
])  # fmt: skip


_ILL = ("itis", "osis", "aemia", "emia", "pathy", "oma", "algia", "plegia", "penia", "ectasia")


def _illness(text: str) -> bool:
    folded = text.lower()
    return folded.endswith(_ILL) and folded not in _NO_ILLNESS


def _medicine(text: str) -> bool:
    return text.lower() not in PLACEHOLDERS | _STATES and text.lower() not in (
        "reminders",
        "reminder",
        "list",
        "names",
        "info",
    )


_STEMS = (
    "pril", "sartan", "olol", "statin", "azole", "cillin", "mycin", "floxacin", "gliptin", "tidine", "oxetine",
    "zepam", "zolam", "xaban", "gatran", "gliflozin", "glutide", "glitazone", "dipine", "triptan", "setron",
    "ciclovir", "cyclovir", "navir", "asvir", "lizumab", "tuzumab", "limab", "nimab", "ximab", "rtinib", "tinib",
    "parib", "cycline", "sone", "solone", "caine", "barbital", "fibrate", "thiazide", "semide", "nafil", "dronate",
    "parin", "grel", "zosin", "meterol", "moterol", "tropium", "lukast", "profen", "fenac", "oxicam", "coxib",
    "codone", "morphone", "fentanil", "apine", "thyroxine", "traline", "pentin", "racetam", "triptyline",
    "pramine", "peridol", "peridone", "glargine", "buterol", "farin", "lopram", "faxine", "dopa",
)  # fmt: skip
"""Stems of the international non-proprietary names of medicines (WHO, the use of stems in the selection of INN)."""


def _has_stem(text: str) -> bool:
    word = text.split()[0].rstrip(",").lower()
    return word.endswith(_STEMS) and word not in _STEMS


def _handle(text: str) -> bool:
    return (
        text.lower() not in PLACEHOLDERS
        and any(c.isdigit() or c in "._" for c in text)
        and any(c.isalnum() for c in text)
    )


def _user_name(text: str) -> bool:
    return text.lower() not in PLACEHOLDERS and len(text) > 2


def _place(text: str) -> bool:
    """A number and a word, as an address has; no address of a machine, no dates."""
    return (
        any(len(w) > 2 for w in re.findall(r"[^\W\d_]+", text))
        and "://" not in text
        and not re.match(r"(?:0x|[\d.:]+$|[\w-]+(?:\.[\w-]+)+(?:[:/]|$))", text)
        and not find_dates(text)
    )


def _user_id(text: str) -> bool:
    """An id of letters alone is a person's log-in; what is said of ids instead is not."""
    return _user_name(text) and text.lower() not in _STATES and not text.isupper()


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


_NO_PERSON = frozenset([
    "support", "service", "services", "team", "care", "success", "portal", "account", "accounts", "satisfaction",
    "experience", "relations", "department", "desk", "request", "requests", "order", "orders", "plan", "policy",
    "type", "status", "class", "level", "tier", "premium", "gold", "silver", "platinum", "basic", "standard",
    "not", "unknown", "new", "all", "see", "existing", "former", "regular", "retail", "corporate", "business",
])  # fmt: skip
"""Words after a label such as "Customer:" that say what is meant, not who."""


def _person_like(text: str) -> bool:
    words = [word.strip(".'’").lower() for word in text.split()]
    return not any(word in _NO_PERSON or word in PLACEHOLDERS for word in words)


def _name_like(text: str) -> bool:
    return (
        text.lower() not in PLACEHOLDERS
        and any(c.isalpha() for c in text)
        and not any(c.isdigit() for c in re.sub(r"\\u[0-9a-fA-F]{4}", "", text))
    )


_SUFFIX = (
    "Street|St|Avenue|Ave|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Terrace|Ter|"
    "Parkway|Pkwy|Highway|Hwy|Square|Sq|Trail|Trl|Crescent|Close|Alley|Loop|Grove|Row|Path|Pike|Ridge|Knoll|Mews|Walk|"
    "Gardens|Green|Hill|Hills|View|Plaza|Point|Run|Turnpike|Causeway|Bend|Cove|Creek|Crossing|Falls|Ford|Forest|Glen|"
    "Heights|Island|Junction|Lake|Landing|Manor|Meadow|Mill|Orchard|Park|Pass|Rapid|Rest|River|Shore|Spring|Station|"
    "Stream|Summit|Track|Tunnel|Union|Valley|Viaduct|Village|Vista|Wells"
)
"""Street suffixes (US Postal Service, Publication 28, appendix C1, the commoner ones; and British ones)."""
_WAY = rf"""(?:(?i:rue|quai|avenue|chemin|impasse|allée|route|calle|via|viale|vicolo|piazza|plaza|paseo|avenida|ronda|rambla|camino|carretera|pasaje|rua|largo|corso|strada|contrada|plac|aleja)|(?:ul|al|pl|os)\.)[ \t]+(?:(?:de|del|della|di|da|do|du|des|la|las|los|le|les|l['’])[ \t]?){{0,2}}{_CAP}(?:[ \t]+{_CAP}){{0,2}}"""
_STATE = "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
_PERSONS = (
    "customer|client|patient|passenger|guest|insured|policy ?holder|claimant|applicant|tenant|beneficiary|employee|"
    "account ?holder|card ?holder|caller|buyer|recipient|sender|patron|resident|student|donor|full name"
)
"""Labels that a person's name follows, be it in a gazetteer or not; what follows is unsure, so idioms of the log stay."""
_ROLES = (
    "name|full name|patient|customer|client|plaintiff|defendant|witness|employee|applicant|owner|signed|"
    "prepared by|reviewed by|approved by|attn|attention|author|assignee|assigned to|guest|passenger|holder|"
    "account holder|cardholder|beneficiary|subject|tenant|insured|contact|contact person|from|manager|reporter|"
    "deposition of|examination by|counsel for|on behalf of|attorney|judge"
)

_DOSE = (
    r"(?:[ \t](?:XR|ER|SR|CR|HCl|sodium))?(?:,?[ \t]\d{1,4}(?:\.\d+)?[ \t]?(?:mg|mcg|ml|µg|g|units?|IU)\b)?"
)
_SMALL_WORDS = (
    "a|an|the|of|with|for|from|and|or|any|this|that|his|her|my|your|our|their|has|have|had|is|was|are|about|no|to|in|on|"
    "by|at|patients?|diagnosed|suffers?|treated|history|family|against|such|as|new|some|other|which|what|i|he|she|who"
)

_PASSWORD = r"password|passwd|pass[ _-]?phrase|passcode|pwd|pass|pw|passwort|kennwort|contraseña|mot de passe|wachtwoord"

RULES: tuple[Rule, ...] = (
    Rule("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.%+'-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,24}(?![\w@])"), 0.95, "@"),
    Rule("PHONE_NUMBER", re.compile(r"(?<![\w./-])(?:\+\d{2} ?\(?0?\)? ?[1-9]\d{1,4}|\(?0\d{2,4}\)?) ?/ ?\d{3,9}(?:[ -]\d{1,5}){0,2}(?![\w/])"), 0.75, "#"),
    Rule("US_SSN", re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), 0.9, "#"),
    Rule("US_SSN", _keyed(r"ssn|social security(?: number| no\.?)?|itin", r"\d{3}[- ]?\d{2}[- ]?\d{4}(?!\d)", r":=|[:=#]|=>|\bis\b|\bwas\b|(?=\d)"), 0.95, "#"),
    Rule("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.+-]+%40[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,24}"), 0.95, "%40"),
    Rule("US_SSN", _keyed(r"ssn|social security(?: number| no\.?)?", r"[\dlIOoSBZ]{3}-[\dlIOoSBZ]{2}-[\dlIOoSBZ]{4}(?!\w)", r":=|[:=#]|=>|\bis\b|(?=[\dlIOSBZ])"), 0.8, "#", lambda v: len(digits_of(v)) >= 5),
    Rule("CREDIT_CARD", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), 0.9, "#", luhn),
    Rule("IBAN_CODE", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"), 0.95, "#", iban),
    Rule("IBAN_CODE", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: [A-Z0-9]{4}){3,7}(?!\w)|(?<!\w)[A-Za-z]{2}\d{2}[A-Za-z0-9]{11,30}(?!\w)"), 0.95, "#", iban),
    Rule("IP_ADDRESS", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"), 0.7, "#", _ip4),
    Rule("MAC_ADDRESS", re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])"), 0.95),
    # ---- secrets
    Rule("API_KEY", re.compile(r"(?<![\w-])(?:sk|pk|rk|ak)[-_](?:live[-_]|test[-_]|proj[-_]|ant[-_])?[A-Za-z0-9_-]{10,}"), 0.95, "sk-|sk_|pk-|pk_|rk_|rk-|ak_|ak-", _has_digit),
    Rule("API_KEY", re.compile(r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}|pypi-[\w-]{20,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}|dop_v1_[0-9a-f]{30,}|whsec_[\w+/=-]{16,}|hv[sb]\.[\w-]{16,}|ya29\.[\w-]{20,}|glrt-[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|AIza[\w-]{30,}|(?:AKIA|ASIA|AROA)[A-Z0-9]{16})(?!\w)"), 0.99),
    Rule("API_KEY", re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), 0.99, "eyJ"),
    Rule("API_KEY", re.compile(r"(?i:bearer|basic)\s+(?P<v>[A-Za-z0-9._~+/=-]{16,})"), 0.9, "earer|asic|EARER|ASIC", _secret_like),
    Rule("API_KEY", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(?P<v>[A-Za-z0-9+/=\s\\:,]+(?:-(?!----)[A-Za-z0-9+/=\s\\:,]+)*)"), 0.99, "PRIVATE KEY"),
    Rule("API_KEY", re.compile(r"^[ \t]*(?P<v>[A-Za-z0-9+/]{60,}={0,2})[ \t\r]*$", re.MULTILINE), 0.6, "#", _secret_like),
    Rule("API_KEY", _keyed(r"(?:api|app|application|account|auth|signing|encryption|master|shared|storage|service|webhook|subscription|deploy)[_ -]?keys?(?: for \w+)?|secret(?:[_ -]?(?:key|access[_ -]?key))?(?:[_ -]?base)?|(?:access|auth|bearer|refresh|session|id|api)?[_ -]?token|access[_ -]?key(?:[_ -]?id)?|client[_ -]?secret|api[_ -]?secret|private[_ -]?key|authorization", r"(?!Bearer|bearer|Basic)[^\s\"',;()<>{}\\]{8,}", rf"{_LINKS}|(?=[\w-]{{20,}})"), 0.85, "key|secret|token|authorization", _secret_like),
    Rule("API_KEY", re.compile(r"(?i:\b(?:key|name)\s*=\s*[\"'][\w.:-]*(?:key|secret|token|password|pwd)[\"']\s+value\s*=\s*[\"'])(?P<v>[^\"'\n]{4,})"), 0.9, "value|VALUE", _password_like),
    Rule("API_KEY", re.compile(r"(?<!\S)--?(?i:(?:access-|auth-|api-)?token|api-?key|(?:client-)?secret|password|passwd|pass)(?:=|[ \t]+)[\"']?(?P<v>[^\s\"'-][^\s\"']{3,})"), 0.85, "-", _password_like),
    Rule("PASSWORD", _keyed(rf"(?:{_PASSWORD})(?: (?:for|to|of|on) (?:[\w.-]+ ){{0,2}}[\w.-]+)?", r"(?<=\")(?:[^\"\\\n]|\\.){4,60}(?=\")|(?<=')(?:[^'\\\n]|\\.){4,60}(?=')|[^\s\"',;<>\\]{4,}", r":=|[:=]|=>|->|[ \t]-[ \t]|\b(?:is|was|lautet|to)\b"), 0.9, "pass|pwd|pw|kennwort|contrase|wachtwoord", _password_like),
    Rule("PASSWORD", re.compile(rf"(?i:(?:[\w-]*[_.-])?(?:{_PASSWORD}))=(?P<v>[A-Za-z]{{6,40}})(?![\w(.])"), 0.8, "=", _any_word),
    Rule("PASSWORD", re.compile(rf"(?i:<(?P<tag>[\w:-]*(?:{_PASSWORD}|secret|token|apikey))>)(?P<v>[^<\s]{{4,}})</"), 0.9, "</", _any_word),
    Rule("PASSWORD", re.compile(rf"(?i:\b(?:{_PASSWORD})[ \t]+(?:from|to|as)[ \t]+(?:\S+[ \t]+to[ \t]+)?)[\"']?(?P<v>[^\s\"',;]{{4,}})"), 0.85, "#", _secret_like),
    Rule("PASSWORD", re.compile(rf"(?i:\b(?:{_PASSWORD})[ \t]+from[ \t]+)[\"']?(?P<v>[^\s\"',;]{{4,}})"), 0.85, "#", _secret_like),
    Rule("PASSWORD", re.compile(r"\bmysql\w*\b[^\n|;]*[ \t]-p(?P<v>[^\s\"'-][^\s\"']{3,})"), 0.9, "mysql"),
    Rule("PASSWORD", re.compile(r"://[^\s:/@]*:(?P<v>[^\s@/]{3,})@"), 0.95, "://"),
    Rule("PASSWORD", _keyed(r"pin(?: ?code)?|otp|verification code|security code|cvv2?|cvc", r"\d{3,8}(?!\d)"), 0.8, "#"),
    Rule("PASSWORD", re.compile(r"(?<![\w-])(?:PIN|OTP|(?i:cvv2?|cvc2?))(?:[ \t](?:is|code))?[ \t:]+(?P<v>\d{3,8})(?![\w.-])"), 0.8, "#"),
    Rule("PASSWORD", _keyed(r"(?:access|entry|door|gate|alarm|safe|security|pass)[ _-]?code", r"(?=[\w-]*\d)[\w-]{4,16}(?!\w)"), 0.8, "#"),
    Rule("PASSWORD", re.compile(r"(?i:identified (?:with \w+ )?by(?: password)?)\s+'(?P<v>[^'\n]{4,})'"), 0.95, "BY|by"),
    Rule("USERNAME", re.compile(r"'(?P<v>[\w.-]{2,40})'@'"), 0.9, "'@'"),
    # ---- numbers of a person's papers, accounts and cases
    Rule("MEDICAL_RECORD", re.compile(r"(?<!\w)MRN[-:#\s]{0,3}\d{4,12}(?![\w-])"), 0.95, "MRN"),
    Rule("MEDICAL_RECORD", _keyed(rf"mrn|(?:med(?:ical)?\.?|health|hospital|clinical)[_ ]?(?:rec(?:ord)?s?\.?)?{_NUMBER}|medical[_ ]record|(?:patient|pt\.?|chart|admission|encounter){_NUMBER}|patienten-?(?:nummer|nr\.?|id)|fall-?nummer", _ID, _OR_NONE), 0.9, "#", _paper),
    Rule("POLICY_NUMBER", _keyed(rf"policy{_NUMBER}?|claims?{_NUMBER}|member(?:ship)?{_NUMBER}|subscriber(?:{_NUMBER})?|insurance(?: (?:policy|plan|card|certificate))?{_NUMBER}|insurance policy|group{_NUMBER}|certificate{_NUMBER}|versicherungs-?(?:nummer|nr\.?|schein)|polic[ey][ _-]?nr\.?", _ID, _LINKS), 0.85, "#", _paper),
    Rule("POLICY_NUMBER", _keyed(rf"policy{_NUMBER}|claims?{_NUMBER}|member(?:ship)?{_NUMBER}|subscriber{_NUMBER}?|insurance(?: (?:policy|plan|card|certificate))?{_NUMBER}|group{_NUMBER}|certificate{_NUMBER}|versicherungs-?(?:nummer|nr\.?)|police nr\.?", _ID, r"(?=[A-Z]{0,4}[-/]?\d)"), 0.8, "#", _paper),
    Rule("POLICY_NUMBER", re.compile(r"(?i:\b(?:claim|policy))[ \t]+(?P<v>[A-Z]{2,4}[-/]?\d[A-Z0-9/-]{3,20})(?!\w)"), 0.8, "#claim|policy"),
    Rule("BANK_ACCOUNT", _keyed(r"(?:bank )?acc(?:oun)?t\.?(?:[_ ]?(?:number|no\.?|num|id))?|routing(?:[_ ]?(?:number|no\.?))?|sort[_ -]code|iban|konto-?(?:nummer|nr\.?)|aba|(?:checking|savings)(?: account)?", r"\d[\d -]{4,18}\d(?!\d)", r"[:=#]|=>|\bis\b|\bnumber\b|(?=\d)"), 0.85, "#"),
    Rule("BANK_ACCOUNT", re.compile(r"(?i:\baccount|\bacct\.?)(?: (?i:number|no\.?|ending in))? (?P<v>\d{8,17})(?!\w)"), 0.85, "#"),
    Rule("BANK_ACCOUNT", _keyed(r"bic|swift(?:[ /-]?bic)?(?: ?code)?", r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?!\w)", rf"{_LINKS}|(?=[A-Z]{{6}}[A-Z0-9]{{2}})"), 0.85, "bic|swift"),
    Rule("PASSPORT", _keyed(rf"(?:passport|reisepass)(?:{_NUMBER})?", r"(?=(?:[A-Z]*\d){4})[A-Z0-9]{6,9}(?!\w)", rf"{_LINKS}|(?=[A-Z]{{0,2}}\d)"), 0.9, "#"),
    Rule("DRIVER_LICENSE", _keyed(r"driver'?s?'? ?licen[cs]e(?: ?(?:number|no\.?|#))?|licen[cs]e(?: ?(?:number|no\.?|#))?|dl(?: ?(?:number|no\.?|#))?", r"[A-Z]{1,3}[- ]?\d{3,12}(?:[- ]\d{3,6}){0,4}(?![\w-])|[A-Z9]{5}\d{6}[A-Z0-9]{5}(?!\w)", rf"{_LINKS}|(?=[A-Z]{{1,3}}[- ]?\d{{3}}|[A-Z9]{{5}}\d{{6}})"), 0.85, "#"),
    Rule("NATIONAL_ID", re.compile(r"(?<![\w-])NID-\d{5,12}(?!\w)"), 0.95, "NID-"),
    Rule("NATIONAL_ID", _keyed(r"national id(?:entity)?(?: ?(?:number|no\.?|card))?|id ?(?:card )?number|tax ?(?:id|payer id|number)|tin|nin|aadhaar|personal (?:id|number)|steuer-?id|nif|nie|dni", r"[A-Z]{0,3}-?\d[\d A-Z-]{4,16}[\dA-Z](?!\w)"), 0.8, "#"),
    Rule("LICENSE_NUMBER", _keyed(r"bar(?: ?(?:no\.?|number|#))|npi|dea(?: ?(?:no\.?|number|#))?|medical licen[cs]e", r"[A-Z]{0,3}[- ]?\d{4,10}(?!\w)", r"[:=#]|\bis\b|(?=[A-Z\d])"), 0.9, "#"),
    Rule("CASE_NUMBER", re.compile(r"(?<![\w-])\d{4}-[A-Z]{2,5}-\d{3,7}(?![\w-])"), 0.85, "#"),
    Rule("CASE_NUMBER", re.compile(r"(?<![\w:])\d{1,2}:\d{2}-[a-z]{2}-\d{4,6}(?:-[A-Z]{2,3})*(?![\w-])"), 0.95, "#"),
    Rule("USERNAME", _keyed(r"user[ _-]?name|benutzername|screen name|login(?: name)?|db[_ ]user|handle", r"[\w.@+-]{3,40}(?<![.])", r":=|[:=]|=>|\b(?:is|lautet)\b|(?=@\w)"), 0.8, "user|benutzer|screen|login|handle", _user_name),
    Rule("USERNAME", _keyed(r"user[_ -]?id|login[_ -]?id", r"[A-Za-z][\w.+-]{3,39}(?<![.])", r":=|[:=]"), 0.7, "user|login", _user_id),
    Rule("USERNAME", re.compile(r"(?i:\b(?:logged|signed|log|sign)(?:[ -]?in| on)? as|\bsudo -u|\bsu -)[ \t]+[\"']?(?P<v>[A-Za-z][\w.-]{2,39}(?<![.]))"), 0.75, "as |sudo|su -", _handle),
    Rule("USERNAME", re.compile(r"(?<![\w.@/:+-])(?P<v>[A-Za-z_][\w.-]{1,31})@(?=\d{1,3}(?:\.\d{1,3}){3}\b|[a-z][a-z0-9-]*(?:[:\s]|$))"), 0.7, "@", _user_name),
    Rule("USERNAME", re.compile(r"(?:/home/|/Users/|\b[A-Za-z]:\\{1,2}Users\\{1,2})(?P<v>[^\s/\\:\"'<>{}$*]{2,32})"), 0.75, "home/|Users", _place_of_user),
    Rule("USERNAME", _keyed(r"user(?:[_ -]?id)?|uid|login[_ -]?id|account[_ -]?name", r"[A-Za-z0-9][\w.@+-]{2,39}(?<![.])", r":=|[:=#]|=>|\bis\b|\bas\b"), 0.7, "user|uid|login|account", _handle),
    # ---- who and where
    Rule("DATE_OF_BIRTH", _keyed(_BIRTH, _DATE, r"[:=]|=>|\bis\b|\bwas\b|(?=\d|[A-Z])"), 0.95, "#", _real_date),
    Rule("DATE_OF_BIRTH", _keyed(_BIRTH, _PART_OF_DATE, r"[:=]|=>|\bis\b|\bwas\b|(?=\d|[A-Z])"), 0.9, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w.-])\d{{1,6}}[A-Za-z]?,?[ \t]+(?:[NSEW]{{1,2}}\.?[ \t]+|(?:North|South|East|West)[ \t]+)?(?:{_CAP}[ \t]+|\d{{1,3}}(?:st|nd|rd|th)[ \t]+){{1,4}}(?:{_SUFFIX})s?\b\.?(?:,?[ \t]+(?:Apt|Apartment|Suite|Ste|Unit|Floor|#)\.?[ \t]*\w{{1,6}})?(?:,[ \t]*{_TOWN}(?:,?[ \t]+[A-Z]{{2}}(?:[ \t]+\d{{5}}(?:-\d{{4}})?)?)?)?(?!\w)"), 0.9, "#"),
    Rule("STREET_ADDRESS", _keyed(r"address[_ ]?(?:line)?[_ ]?[12]?|street(?: ?address)?|residing at|lives at", r"\d{1,6}[ \t]+[^\n\"|;]{3,60}?(?=[\"\n|;]|\.\s|$)", r"[:=]|=>|(?=\d)"), 0.8, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w-])(?:(?:{_CAP}[ \t-]+){{0,2}}[{_UP}][{_UP}{_LOW}-]{{0,40}}(?i:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|markt|chaussee|steig|straat|laan|dreef|plein|gracht|kade|boulevard)|(?:{_CAP}[ \t-]+){{1,2}}(?:Straße|Weg|Platz|Allee|Markt|Ring|Damm|Ufer))[ \t]+\d{{1,4}}(?:[/-]\d{{1,4}})?(?:[ \t]?[a-z])?(?!\w)(?:,?[ \t]+\d{{5}}[ \t]+{_CAP})?"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<!\w)(?:\d{{1,4}}(?:/\d{{1,4}})?[a-z]?(?:[ \t]?(?:bis|ter))?,?[ \t]+{_WAY}|{_WAY},?[ \t]+\d{{1,4}}(?:/\d{{1,4}})?[a-z]?(?!\w))(?:,?[ \t]+\d{{5}}[ \t]+{_CAP})?"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(r"(?<!\w)(?:P\.? ?O\.? ?Box|PO BOX|Post ?Office Box|Postfach)[ \t#]*\d[\d ]{1,8}(?<! )"), 0.9, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w-]){_CAP}(?:[ \t]+{_CAP}){{0,2}},?[ \t]+(?:{_STATE})[ \t]+\d{{5}}(?:-\d{{4}})?(?![\w-])"), 0.8, "#"),
    Rule("STREET_ADDRESS", re.compile(r"(?<![\w-])(?:GIR 0AA|[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})(?![\w-])"), 0.8, "#"),
    Rule("STREET_ADDRESS", _keyed(r"zip(?:[ _-]?code)?|post(?:al)?[ _-]?code|plz", r"\d{5}(?:-\d{4})?(?![\w-])", rf"{_LINKS}|(?=\d)"), 0.8, "#"),
    Rule("STREET_ADDRESS", _keyed(r"(?:street|home|mailing|shipping|billing|delivery|postal)[_ -]?address|address(?:[_ -]?line)?[_ -]?[12]?|street|anschrift|adresse|dirección|indirizzo", r"(?=[^\n\"|;]*\d)[\w#][^\n\"|;<>{}@=]{4,90}?(?=[\"\n|;<}]|\.\s|$)", r"[:=]|=>"), 0.75, "#", _place),
    Rule("STREET_ADDRESS", re.compile(rf"(?i:\b(?:(?:i|he|she|they|we) lives?|living|residing|resides?|(?:ship|deliver|send|mail)(?:ed|ped)?(?: \w+)? to|moved?(?: \w+)? to) (?:at )?)(?P<v>(?:(?:[\d#][\w/.-]*(?<!\.)|{_PLAIN}|(?:St|Dr|Ave|Rd|Apt|Ste|No|[NSEW])\.|de|la|del|van|der),?[ \t]+){{1,6}}(?:\d[\w/-]*|{_PLAIN}))(?!\w)"), 0.7, "#", _place),
    Rule("STREET_ADDRESS", re.compile(r"\"(?:zip|zip_?code|postal_?code|postcode)\"\s*:\s*\"(?P<v>[A-Z0-9][A-Z0-9 -]{3,9})\""), 0.8, "#"),
    Rule("PERSON", re.compile(r"\"(?:first_?name|last_?name|sur_?name|family_?name|given_?name|middle_?name|full_?name|maiden_?name|(?:customer|client|patient|guest|passenger|contact|employee|owner|sender|recipient|holder|account_?holder|cardholder)_?name)\"\s*:\s*\"(?P<v>(?:[^\"\\]|\\u[0-9a-fA-F]{4}){2,60})\"", re.IGNORECASE), 0.9, "ame\"|AME\"", _name_like),
    Rule("PERSON", re.compile(rf"\"(?i:customer|client|patient|guest|passenger|employee|owner|sender|recipient|holder|cardholder|beneficiary|assignee|reporter|attendee|contact|applicant)\"\s*:\s*\"(?P<v>{_FULL_NAME})\""), 0.7, "\":|\" :", _name_like),
    Rule("PERSON", re.compile(r"(?i:\b(?:i am|i'm|this is|name[ \t]*[:=]))[ \t]*(?P<v>[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?,?[ \t]+[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?)(?![\w@])"), 0.7, "i am|i'm|this is|name", _all_names),
    Rule("PERSON", re.compile(rf"(?<!\w)(?i:thanks|thank you|regards|cheers|best|sincerely|hi|hello|hey|dear),?[ \t]+(?P<v>{_CAP})(?=[ \t]*[,.!:\n]|$)"), 0.6, "", _sign_off),
    Rule("PERSON", re.compile(rf"(?<!\w)(?P<v>(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Sr|Sra)\.?[ \t]+{_CAP}(?:[ \t]+{_CAP}){{0,2}})"), 0.85, "Mr|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Sr"),
    Rule("PERSON", re.compile(rf"(?i:\b(?:{_ROLES}))\**[ \t\u00a0]*[:=]\**[ \t\u00a0]*[\"']?(?P<v>{_FULL_NAME})(?![\w@])"), 0.8, ":|=", _named),
    Rule("PERSON", re.compile(rf"(?i:\b(?:{_PERSONS})(?:[ _]name)?)\**[ \t\u00a0]*[:=]\**[ \t\u00a0]*[\"']?(?P<v>{_FULL_NAME})(?![\w@])"), 0.45, ":|=", _person_like),
    Rule("PERSON", re.compile(rf"\b(?:deposition of|examination by|counsel for|between|signed by|on behalf of|DEPOSITION OF|EXAMINATION BY)[ \t]+(?P<v>{_FULL_NAME})(?!\w)"), 0.75, "deposition|examination|counsel|between|signed by|on behalf", _named),
    Rule("PERSON", re.compile(rf"(?i:\b(?:my name is|my name's|name is|this is|i am|i'm|call me))[ \t]+(?P<v>{_FULL_NAME})(?!\w)"), 0.85, "name|this is|i am|i'm|call me", _named),
    Rule("PERSON", re.compile(r"(?i:\bmy (?:full )?name is|\bmy name's)[ \t]+(?!(?:on|in|at|to|not|no|the|a|an|my|still|also|wrong|missing|listed|misspell?ed|spelled)\b)(?P<v>[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?(?:[ \t]+(?!and\b|i\b|my\b|im\b|on\b|in\b|the\b|from\b|with\b|can\b|please\b|or\b)[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?)?)"), 0.8, "ame is|ame's|AME IS", _name_like),
    Rule("PERSON", re.compile(rf"(?<!\w)(?:Dear|Hi|Hello|Hey|Thanks|Regards|Sincerely|Cheers|Best),?[ \t]+(?P<v>{_FULL_NAME})(?=[ \t]*[,.!:\n]|$)"), 0.75, "Dear|Hi|Hello|Hey|Thanks|Regards|Sincerely|Cheers|Best", _named),
    Rule("PERSON", re.compile(r"[?&](?:name|first_?name|last_?name|user)=(?P<v>[A-Za-z][A-Za-z'’.+%-]*(?: [A-Z][a-z'-]+)?)"), 0.8, "?|&"),
    Rule("PERSON", re.compile(rf"\b(?:Customer|Patient|Client|Employee|Witness|Applicant|Guest|Passenger|Plaintiff|Defendant|Agent|Nurse|Attorney|Officer)[ \t]+(?P<v>{_CAP}(?:[ \t]+{_CAP})?)(?!\w)"), 0.65, "", _named),
    Rule("JOB_TITLE", re.compile(r"\b(?:(?:Senior|Junior|Lead|Chief|Head|Principal|Assistant|Staff|Deputy) )*(?:[A-Z][a-z]+ ){0,2}(?:Engineer|Manager|Officer|Analyst|Scientist|Director|Designer|Representative|Advisor|Accountant|Administrator|Consultant|Technician|Coordinator|Developer|Architect|Nurse|Physician|Paralegal)\b|\b(?:VP|Vice President|Head|Director) of [A-Z][a-z]+(?: [A-Z][a-z]+)?"), 0.6),
    Rule("ORGANIZATION", re.compile(r"(?<!\w)(?:[A-Z][\w&-]+ ){1,3}(?:Inc|LLC|Ltd|Corp|Corporation|Group|Industries|Holdings|GmbH|Company|Enterprises|Solutions|Systems|Technologies|Healthcare|Hospital|University|Bank|Associates)\b\.?"), 0.6),
    Rule("PERSON", re.compile(r"(?<![\w*])[A-Z]\*{2,}(?: [A-Z]\*{2,})*(?![\w*])"), 0.7, "**"),
    Rule("PERSON", re.compile(r"(?<=[A-Za-z:,\]] )(?P<v>[\u4e00-\u9fff\uac00-\ud7af]{1,3} [\u4e00-\u9fff\uac00-\ud7af]{1,3})(?![\u4e00-\u9fff\uac00-\ud7af])"), 0.55),
    Rule("MEDICATION", re.compile(r"(?<!\w)[A-Z][a-z]{3,}(?:[ -][A-Z]?[a-z]+)? \d{1,4}(?:\.\d+)? ?(?:mg|mcg|ml|µg|units)\b"), 0.85, "#"),
    Rule("MEDICATION", re.compile(rf"(?<!\w)[A-Za-z]{{6,}}+(?!\w){_DOSE}"), 0.7, "", _has_stem),
    Rule("MEDICATION", re.compile(rf"(?i:\b(?:metformin|insulin|aspirin|paracetamol|acetaminophen|lithium|morphine|methadone)\b){_DOSE}"), 0.7, "metformin|insulin|aspirin|paracetamol|acetaminophen|lithium|morphine|methadone"),
    Rule("MEDICATION", _keyed(r"medications?|medicines?|meds|drug(?:[_ ]?name)?|rx|medikament", r"[A-Za-z][A-Za-z-]{3,30}(?:[ \t][A-Z]{2})?" + _DOSE, r"[:=]|=>"), 0.75, "medic|meds|drug|rx|medikament", _medicine),
    Rule("MEDICATION", re.compile(rf"(?i:\bprescribed(?: (?:him|her|them|me))?|\bprescription (?:for|of)|\brefill(?: of| my)?|\ballergic to)[ \t]+(?P<v>[A-Z][a-z]{{3,}}{_DOSE})"), 0.7, "rescri|efill|llergic"),
    Rule("HEALTH_CONDITION", re.compile(r"(?i:\b(?:type [12] diabetes(?: mellitus)?|diabetes(?: mellitus)?|hypertension|asthma|migraines?|epilepsy|depression|schizophrenia|chronic [a-z]+ [a-z]+ disease|copd|hiv(?: positive)?|hepatitis [abc]|hyperlipidemia|hypothyroidism|hyperthyroidism|pneumonia|[a-z]+ (?:cancer|fibrillation|sclerosis|dystrophy)|cancer|leukemia|gout|eczema|stroke|heart (?:failure|attack)|ptsd|adhd)\b)"), 0.7, "diabet|tension|asthma|migraine|epileps|depress|schizo|chronic|copd|hiv|hepatitis|lipidemia|thyroid|pneumonia|cancer|fibrill|scleros|dystroph|leukemia|gout|eczema|stroke|heart |ptsd|adhd"),
    Rule("HEALTH_CONDITION", re.compile(rf"(?i:\b(?:(?!(?:{_SMALL_WORDS})\b)[a-z][a-z'’-]+ ){{1,3}}(?:disorder|disease|syndrome)\b)"), 0.7, "isorder|isease|yndrome|ISORDER|ISEASE|YNDROME"),
    Rule("HEALTH_CONDITION", re.compile(r"(?<!\w)[A-Za-z]{6,}+(?!\w)"), 0.65, "itis|osis|emia|pathy|oma|algia|plegia|penia|ectasia", _illness),
    Rule("HEALTH_CONDITION", re.compile(r"(?i:\bICD-?(?:9|10)(?:-?CM)?(?: code)?)[ \t:=-]*(?P<v>[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)(?!\w)"), 0.9, "#"),
)  # fmt: skip

_CAPITALISED = re.compile(rf"(?<![\w.@-]){_CAP}(?:[ \t\u00a0]+{_CAP})+(?![\w@])")
_ONE_WORD = re.compile(r"\S+")
_PHONE = re.compile(r"(?<![\w.+-])(?<!\d[/:])\+?\(?\d(?:[ \t().-]{0,3}\d){6,14}(?!(?!x\d)\w|[./:-]\d)")
"""An extension (x157) may follow; alone it points at nobody."""
_PHONE_WORD = re.compile(
    r"(?i)(?:phone|tel|call|mobile|cell|fax|contact|whatsapp|text|reach|dial|my (?:new |home |work )?number)[\w ]{0,20}[.:#=\"' ]*$"
)
_NANP = re.compile(r"\(?\d{3}\)?[-. ]?[ ]?\d{3}[-. ]\d{4}")
_DATE_LIKE = re.compile(r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")


class _Rules:
    """Rules that are tried only where the text holds what they need."""

    name = ""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [
            (rule, rule.needs.startswith("#"), tuple(filter(None, rule.needs.lower().lstrip("#").split("|"))))
            for rule in rules
        ]

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self._one(text) if text and not text.isspace() else [] for text in texts]

    def _one(self, text: str) -> list[Span]:
        has_digit = any(c.isdigit() for c in text)
        folded = text.lower()
        spans: list[Span] = []
        for rule, needs_digit, words in self._rules:
            if (needs_digit and not has_digit) or (words and not any(w in folded for w in words)):
                continue
            for match in rule.pattern.finditer(text):
                group: str | int = "v" if "v" in rule.pattern.groupindex else 0
                start = match.start(group)
                value = (
                    match[group].rstrip(".,;:)!? \t\r\n") if rule.type in _TRIMMED else match[group].rstrip()
                )
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
                    if not (word.group().endswith(".") and len(word.group()) > 3):
                        continue  # a sentence ends where a dot follows more than an initial
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
