"""Rules for names, dates of birth, street addresses, job titles and organisations."""

from __future__ import annotations

import re

from deputize.privacy.date_shift import find_dates
from deputize.privacy.detectors.gazetteer import is_name, is_only_name
from deputize.privacy.detectors.rules.rule import (
    CAPITALISED_WORD,
    FULL_NAME,
    LINKS,
    LOWER,
    PLACEHOLDERS,
    UPPER,
    Rule,
    beginnings,
    keyed,
)
from deputize.privacy.month_names import NAMED_DATE

_WORD_WITHOUT_DOT = rf"[{UPPER}][{LOWER}]++(?:[-'’][{UPPER}]?[{LOWER}]++)*"
"""A capitalised word without a dot: a sentence may end after it."""

_TOWN = rf"(?:St\.[ \t])?[{UPPER}][{LOWER}]++(?:[ \t-][{UPPER}][{LOWER}]++){{0,2}}"

_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|[A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{1,2}(?:st|nd|rd|th)? (?:of )?[A-Z][a-z]{2,8},? (?:\d{4}|['’]?\d{2})(?!\d))"

_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"

_PARTIAL_DATE = rf"(?:{_MONTH}\.?,? (?:19|20)\d\d|(?:0?[1-9]|1[0-2])/(?:19|20)\d\d|(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?![-\d])|(?:19|20)\d{{2}}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?!\d))"

_BIRTH_LABEL = r"dob|d\.o\.b\.?|date[_ ]of[_ ]birth|birth[_ ]?(?:date|day)|born(?: on| in)?|geb(?:oren|\.)?(?: am)?|geburtsdatum|geburtstag|date de naissance|née? le|fecha de nacimiento|nacid[oa](?: el| en)?|data de nascimento|nascid[oa](?: em| a)?|data urodzenia|ur\\.|urodzon[ya](?: dnia)?|doğum tarihi|doğumlu|data di nascita|nat[oa] il|geboortedatum|дата рождения|출생일|생년월일|出生日期|出生年月日?|生于|生年月日|تاريخ الميلاد|مواليد|المولودة? في|जन्म(?: तिथि| तारीख|तिथि)?"

_BIRTH_BEGINNINGS = beginnings(
    [
        "dob",
        "d.o.",
        "date",
        "birth",
        "born",
        "geb",
        "né",
        "née",
        "naci",
        "nasc",
        "ur.",
        "urod",
        "doğum",
        "doğumlu",
        "data",
        "nato",
        "nata",
        "дата",
        "생년",
        "출생",
        "出生",
        "生于",
        "生年",
        "生ま",
        "日生",
        "생년월일",
        "تاري",
        "موال",
        "المو",
        "जन्म",
    ]
)

_STREET_SUFFIX = (
    "Street|St|Avenue|Ave|Boulevard|Blvd|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Terrace|Ter|"
    "Parkway|Pkwy|Highway|Hwy|Square|Sq|Trail|Trl|Crescent|Close|Alley|Loop|Grove|Row|Path|Pike|Ridge|Knoll|Mews|Walk|"
    "Gardens|Green|Hill|Hills|View|Plaza|Point|Run|Turnpike|Causeway|Bend|Cove|Creek|Crossing|Falls|Ford|Forest|Glen|"
    "Heights|Island|Junction|Lake|Landing|Manor|Meadow|Mill|Orchard|Park|Pass|Rapid|Rest|River|Shore|Spring|Station|"
    "Stream|Summit|Track|Tunnel|Union|Valley|Viaduct|Village|Vista|Wells"
)
"""Street suffixes (US Postal Service, Publication 28, appendix C1, the commoner ones; and British ones)."""

_STREET_BEFORE_NAME = rf"""(?:(?i:rue|quai|avenue|chemin|impasse|allée|route|calle|via|viale|vicolo|piazza|plaza|paseo|avenida|ronda|rambla|camino|carretera|pasaje|rua|largo|corso|strada|contrada|plac|aleja)|(?:ul|al|pl|os)\.)[ \t]+(?:(?:de|del|della|di|da|do|du|des|la|las|los|le|les|l['’])[ \t]?){{0,2}}{CAPITALISED_WORD}(?:[ \t]+{CAPITALISED_WORD}){{0,2}}"""

_US_STATE = "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"

_PERSON_LABELS = (
    "customer|client|patient|passenger|guest|insured|policy ?holder|claimant|applicant|tenant|beneficiary|employee|"
    "account ?holder|card ?holder|caller|buyer|recipient|sender|patron|resident|student|donor|full name"
)
"""Labels that a person's name follows, be it in a gazetteer or not; what follows is unsure, so idioms of the log stay."""

_ROLE_LABELS = (
    "name|full name|patient|customer|client|plaintiff|defendant|witness|employee|applicant|owner|signed|"
    "prepared by|reviewed by|approved by|attn|attention|author|assignee|assigned to|guest|passenger|holder|"
    "account holder|cardholder|beneficiary|subject|tenant|insured|contact|contact person|from|manager|reporter|"
    "deposition of|examination by|counsel for|on behalf of|attorney|judge"
)

_NOT_PERSONS = frozenset([
    "support", "service", "services", "team", "care", "success", "portal", "account", "accounts", "satisfaction",
    "experience", "relations", "department", "desk", "request", "requests", "order", "orders", "plan", "policy",
    "type", "status", "class", "level", "tier", "premium", "gold", "silver", "platinum", "basic", "standard",
    "not", "unknown", "new", "all", "see", "existing", "former", "regular", "retail", "corporate", "business",
])  # fmt: skip
"""Words after a label such as "Customer:" that say what is meant, not who."""


def _are_all_names(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text)
    return all(is_name(w) for w in words) and any(is_only_name(w) for w in words)


def is_place(text: str) -> bool:
    """A number and a word, as an address has; no address of a machine, no dates."""
    return (
        any(len(w) > 2 for w in re.findall(r"[^\W\d_]+", text))
        and "://" not in text
        and not re.match(r"(?:0x|[\d.:]+$|[\w-]+(?:\.[\w-]+)+(?:[:/]|$))", text)
        and not find_dates(text)
    )


def _holds_date(text: str) -> bool:
    return bool(find_dates(text))


def _holds_name(text: str) -> bool:
    return any(is_name(word) for word in text.split()) and text.split()[0].lower() not in (
        "new",
        "your",
        "the",
    )


def is_person_like(text: str) -> bool:
    words = [word.strip(".'’").lower() for word in text.split()]
    return not any(word in _NOT_PERSONS or word in PLACEHOLDERS for word in words)


def _is_name_like(text: str) -> bool:
    return (
        text.lower() not in PLACEHOLDERS
        and any(c.isalpha() for c in text)
        and not any(c.isdigit() for c in re.sub(r"\\u[0-9a-fA-F]{4}", "", text))
    )


PEOPLE_AND_PLACE_RULES: tuple[Rule, ...] = (
    Rule("DATE_OF_BIRTH", keyed(_BIRTH_LABEL, rf"(?:{_DATE}|{NAMED_DATE}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}})", r"[:=：]|=>|\bis\b|\bwas\b|は|(?=\d|[A-Z]|[明大昭平令])"), 0.95, "#" + _BIRTH_BEGINNINGS, _holds_date),
    Rule("DATE_OF_BIRTH", re.compile(rf"(?P<v>{NAMED_DATE}|\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}})[ ]?(?:出生|生まれ|生(?![\u4e00-\u9fff])|को जन्म|doğumlu)"), 0.95, "#" + _BIRTH_BEGINNINGS, _holds_date),
    Rule("DATE_OF_BIRTH", keyed(_BIRTH_LABEL, _DATE, r"[:=]|=>|\bis\b|\bwas\b|(?=\d|[A-Z])"), 0.95, "#" + _BIRTH_BEGINNINGS, _holds_date),
    Rule("DATE_OF_BIRTH", keyed(_BIRTH_LABEL, _PARTIAL_DATE, r"[:=]|=>|\bis\b|\bwas\b|(?=\d|[A-Z])"), 0.9, "#" + _BIRTH_BEGINNINGS),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w.-])\d{{1,6}}[A-Za-z]?,?[ \t]+(?:[NSEW]{{1,2}}\.?[ \t]+|(?:North|South|East|West)[ \t]+)?(?:{CAPITALISED_WORD}[ \t]+|\d{{1,3}}(?:st|nd|rd|th)[ \t]+){{1,4}}(?:{_STREET_SUFFIX})s?\b\.?(?:,?[ \t]+(?:Apt|Apartment|Suite|Ste|Unit|Floor|#)\.?[ \t]*\w{{1,6}})?(?:,[ \t]*{_TOWN}(?:,?[ \t]+[A-Z]{{2}}(?:[ \t]+\d{{5}}(?:-\d{{4}})?)?)?)?(?!\w)"), 0.9, "#"),
    Rule("STREET_ADDRESS", keyed(r"address[_ ]?(?:line)?[_ ]?[12]?|street(?: ?address)?|residing at|lives at", r"\d{1,6}[ \t]+[^\n\"|;]{3,60}?(?=[\"\n|;]|\.\s|$)", r"[:=]|=>|(?=\d)"), 0.8, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w-])(?:(?:{CAPITALISED_WORD}[ \t-]+){{0,2}}[{UPPER}][{UPPER}{LOWER}-]{{0,40}}(?i:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|markt|chaussee|steig|straat|laan|dreef|plein|gracht|kade|boulevard)|(?:{CAPITALISED_WORD}[ \t-]+){{1,2}}(?:Straße|Weg|Platz|Allee|Markt|Ring|Damm|Ufer))[ \t]+\d{{1,4}}(?:[/-]\d{{1,4}})?(?:[ \t]?[a-z])?(?!\w)(?:,?[ \t]+\d{{5}}[ \t]+{CAPITALISED_WORD})?"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<!\w)(?:\d{{1,4}}(?:/\d{{1,4}})?[a-z]?(?:[ \t]?(?:bis|ter))?,?[ \t]+{_STREET_BEFORE_NAME}|{_STREET_BEFORE_NAME},?[ \t]+\d{{1,4}}(?:/\d{{1,4}})?[a-z]?(?!\w))(?:,?[ \t]+\d{{5}}[ \t]+{CAPITALISED_WORD})?"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(r"(?<!\w)(?:P\.? ?O\.? ?Box|PO BOX|Post ?Office Box|Postfach)[ \t#]*\d[\d ]{1,8}(?<! )"), 0.9, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w-]){CAPITALISED_WORD}(?:[ \t]+{CAPITALISED_WORD}){{0,2}},?[ \t]+(?:{_US_STATE})[ \t]+\d{{5}}(?:-\d{{4}})?(?![\w-])"), 0.8, "#"),
    Rule("STREET_ADDRESS", re.compile(r"(?<![\w-])(?:GIR 0AA|[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})(?![\w-])"), 0.8, "#"),
    Rule("STREET_ADDRESS", keyed(r"zip(?:[ _-]?code)?|post(?:al)?[ _-]?code|plz", r"\d{5}(?:-\d{4})?(?![\w-])", rf"{LINKS}|(?=\d)"), 0.8, "#"),
    Rule("STREET_ADDRESS", keyed(r"(?:street|home|mailing|shipping|billing|delivery|postal)[_ -]?address|address(?:[_ -]?line)?[_ -]?[12]?|street|anschrift|adresse|dirección|indirizzo", r"(?=[^\n\"|;]*\d)[\w#][^\n\"|;<>{}@=]{4,90}?(?=[\"\n|;<}]|\.\s|$)", r"[:=]|=>"), 0.75, "#", is_place),
    Rule("STREET_ADDRESS", re.compile(rf"(?i:\b(?:(?:i|he|she|they|we) lives?|living|residing|resides?|(?:ship|deliver|send|mail)(?:ed|ped)?(?: \w+)? to|moved?(?: \w+)? to) (?:at )?)(?P<v>(?:(?:[\d#][\w/.-]*(?<!\.)|{_WORD_WITHOUT_DOT}|(?:St|Dr|Ave|Rd|Apt|Ste|No|[NSEW])\.|de|la|del|van|der),?[ \t]+){{1,6}}(?:\d[\w/-]*|{_WORD_WITHOUT_DOT}))(?!\w)"), 0.7, "#", is_place),
    Rule("STREET_ADDRESS", re.compile(r"\"(?:zip|zip_?code|postal_?code|postcode)\"\s*:\s*\"(?P<v>[A-Z0-9][A-Z0-9 -]{3,9})\""), 0.8, "#"),
    Rule("PERSON", re.compile(r"\"(?:first_?name|last_?name|sur_?name|family_?name|given_?name|middle_?name|full_?name|maiden_?name|(?:customer|client|patient|guest|passenger|contact|employee|owner|sender|recipient|holder|account_?holder|cardholder)_?name)\"\s*:\s*\"(?P<v>(?:[^\"\\]|\\u[0-9a-fA-F]{4}){2,60})\"", re.IGNORECASE), 0.9, "ame\"|AME\"", _is_name_like),
    Rule("PERSON", re.compile(rf"\"(?i:customer|client|patient|guest|passenger|employee|owner|sender|recipient|holder|cardholder|beneficiary|assignee|reporter|attendee|contact|applicant)\"\s*:\s*\"(?P<v>{FULL_NAME})\""), 0.7, "\":|\" :", _is_name_like),
    Rule("PERSON", re.compile(r"(?i:\b(?:i am|i'm|this is|name[ \t]*[:=]))[ \t]*(?P<v>[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?,?[ \t]+[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?)(?![\w@])"), 0.7, "i am|i'm|this is|name", _are_all_names),
    Rule("PERSON", re.compile(rf"(?<!\w)(?i:thanks|thank you|regards|cheers|best|sincerely|hi|hello|hey|dear),?[ \t]+(?P<v>{CAPITALISED_WORD})(?=[ \t]*[,.!:\n]|$)"), 0.6, "", is_only_name),
    Rule("PERSON", re.compile(rf"(?<!\w)(?P<v>(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Mme|Sr|Sra)\.?[ \t]+{CAPITALISED_WORD}(?:[ \t]+{CAPITALISED_WORD}){{0,2}})"), 0.85, "Mr|Ms|Miss|Mx|Dr|Prof|Mme|Sr"),
    Rule("PERSON", re.compile(rf"(?<!\w)(?P<v>(?:Herr|Frau)[ \t]+{CAPITALISED_WORD}(?:[ \t]+{CAPITALISED_WORD}){{0,2}})"), 0.65, "Herr|Frau"),
    Rule("PERSON", re.compile(rf"(?i:\b(?:{_ROLE_LABELS}))\**[ \t\u00a0]*[:=]\**[ \t\u00a0]*[\"']?(?P<v>{FULL_NAME})(?![\w@])"), 0.8, ":|=", _holds_name),
    Rule("PERSON", re.compile(rf"(?i:\b(?:{_PERSON_LABELS})(?:[ _]name)?)\**[ \t\u00a0]*[:=]\**[ \t\u00a0]*[\"']?(?P<v>{FULL_NAME})(?![\w@])"), 0.45, ":|=", is_person_like),
    Rule("PERSON", re.compile(rf"\b(?:deposition of|examination by|counsel for|between|signed by|on behalf of|DEPOSITION OF|EXAMINATION BY)[ \t]+(?P<v>{FULL_NAME})(?!\w)"), 0.75, "deposition|examination|counsel|between|signed by|on behalf", _holds_name),
    Rule("PERSON", re.compile(rf"(?i:\b(?:my name is|my name's|name is|this is|i am|i'm|call me))[ \t]+(?P<v>{FULL_NAME})(?!\w)"), 0.85, "name|this is|i am|i'm|call me", _holds_name),
    Rule("PERSON", re.compile(r"(?i:\bmy (?:full )?name is|\bmy name's)[ \t]+(?!(?:on|in|at|to|not|no|the|a|an|my|still|also|wrong|missing|listed|misspell?ed|spelled)\b)(?P<v>[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?(?:[ \t]+(?!and\b|i\b|my\b|im\b|on\b|in\b|the\b|from\b|with\b|can\b|please\b|or\b)[^\W\d_]{2,20}(?:-[^\W\d_]{2,20})?)?)"), 0.8, "ame is|ame's|AME IS", _is_name_like),
    Rule("PERSON", re.compile(rf"(?<!\w)(?:Dear|Hi|Hello|Hey|Thanks|Regards|Sincerely|Cheers|Best),?[ \t]+(?P<v>{FULL_NAME})(?=[ \t]*[,.!:\n]|$)"), 0.75, "Dear|Hi|Hello|Hey|Thanks|Regards|Sincerely|Cheers|Best", _holds_name),
    Rule("PERSON", re.compile(r"[?&](?:name|first_?name|last_?name|user)=(?P<v>[A-Za-z][A-Za-z'’.+%-]*(?: [A-Z][a-z'-]+)?)"), 0.8, "?|&"),
    Rule("PERSON", re.compile(rf"\b(?:Customer|Patient|Client|Employee|Witness|Applicant|Guest|Passenger|Plaintiff|Defendant|Agent|Nurse|Attorney|Officer)[ \t]+(?P<v>{CAPITALISED_WORD}(?:[ \t]+{CAPITALISED_WORD})?)(?!\w)"), 0.65, "", _holds_name),
    Rule("JOB_TITLE", re.compile(r"\b(?:(?:Senior|Junior|Lead|Chief|Head|Principal|Assistant|Staff|Deputy) )*(?:[A-Z][a-z]+ ){0,2}(?:Engineer|Manager|Officer|Analyst|Scientist|Director|Designer|Representative|Advisor|Accountant|Administrator|Consultant|Technician|Coordinator|Developer|Architect|Nurse|Physician|Paralegal)\b|\b(?:VP|Vice President|Head|Director) of [A-Z][a-z]+(?: [A-Z][a-z]+)?"), 0.6),
    Rule("ORGANIZATION", re.compile(r"(?<!\w)(?:[A-Z][\w&-]+ ){1,3}(?:Inc|LLC|Ltd|Corp|Corporation|Group|Industries|Holdings|GmbH|Company|Enterprises|Solutions|Systems|Technologies|Healthcare|Hospital|University|Bank|Associates)\b\.?"), 0.6),
    Rule("PERSON", re.compile(r"(?<![\w*])[A-Z]\*{2,}(?: [A-Z]\*{2,})*(?![\w*])"), 0.7, "**"),
    Rule("PERSON", re.compile(r"(?<=[A-Za-z:,\]] )(?P<v>[\u4e00-\u9fff\uac00-\ud7af]{1,3} [\u4e00-\u9fff\uac00-\ud7af]{1,3})(?![\u4e00-\u9fff\uac00-\ud7af])"), 0.55),
)  # fmt: skip
"""In the order in which they are tried."""
