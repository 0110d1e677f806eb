"""Rules for numbers of states, papers, health plans, vehicles and devices, by the words before them in many languages and by check digits."""

from __future__ import annotations

import re

from deputize.privacy.check_digits import digits_of, is_luhn
from deputize.privacy.detectors.rules.rule import Rule, beginnings
from deputize.privacy.spelled_numbers import DIGIT_WORDS, SPELLED_NUMBER

_NUMBER_WORD = (
    r"(?:numbers?|num\.?|no\.?|nr\.?|n[°ºo]\.?|numéro|numero|número|nummer|numer|numaras[ıi]|card|code|is|est|es|ist|lautet|to|é|jest|"
    r"号码?|號碼?|番号|は|رقم|هو|نंबर|नंबर|संख्या|है|#|:|=)"
)
_ID_VALUE = (
    r"(?P<v>[A-Z]{0,4}[ -]?\d[\dA-Z]*(?:[-./ ]{1,2}[\dA-Z]*\d[\dA-Z]*){0,7}(?:-?[A-Z](?![a-z]))?)(?!\w)"
)

NATIONAL_ID_LABELS = (
    "national id", "national insurance", "identity number", "identification number", "personal id", "personal number", "id number",
    "id no", "id card", "citizen id", "ssn", "ssn", "social security", "social insurance", "nino", "aadhaar", "aadhar", "nric", "mykad", "cnic",
    "personalausweis", "ausweisnummer", "sozialversicherungsnummer", "rentenversicherungsnummer", "svnr", "ahv",
    "sécurité sociale", "securite sociale", "carte d'identité", "numéro d'identité", "nir", "insee", "niss", "rijksregister",
    "dni", "nie", "nif", "curp", "cédula", "cedula", "rut", "run", "cuil", "seguridad social", "número de identidad",
    "cpf", "rg", "cartão de cidadão", "cartao de cidadao", "bilhete de identidade", "pesel", "dowód osobisty", "nr dowodu",
    "tc kimlik", "t.c. kimlik", "kimlik no", "kimlik numarası", "tckn", "codice fiscale", "carta d'identità", "bsn", "burgerservicenummer",
    "personnummer", "fødselsnummer", "cpr", "henkilötunnus", "hetu", "kennitala", "rodné číslo", "rodne cislo", "cnp", "egn", "егн", "oib", "jmbg", "amka", "αμκα",
    "isikukood", "asmens kodas", "personas kods", "снилс", "паспорт", "инн", "cccd", "nik", "ktp",
    "身份证", "身分證", "居民身份", "証件號", "マイナンバー", "個人番号", "주민등록", "رقم الهوية", "الهوية الوطنية", "الرقم القومي", "رقم الإقامة", "البطاقة الوطنية",
    "आधार", "पहचान संख्या", "पहचान पत्र", "מספר זהות", "תעודת זהות", "บัตรประชาชน",
)  # fmt: skip
TAX_ID_LABELS = (
    "tax id", "tax number", "taxpayer", "tin", "itin", "ein", "vat id", "vat number", "vat no", "vat reg", "utr", "steuer-id", "steuer id", "steueridentifikationsnummer", "idnr", "steuernummer",
    "steuernr", "ust-id", "ustid", "uid-nr", "numéro fiscal", "numero fiscal", "n° tva", "numéro de tva", "siret", "siren", "cif", "rfc", "cuit", "nit", "ruc", "cnpj",
    "contribuinte", "nip", "regon", "vergi no", "vergi numarası", "vkn", "partita iva", "p.iva", "btw-nummer", "afm", "αφμ", "gstin", "gst no", "pan card", "pan no", "pan",
    "税号", "統一編號", "纳税人识别号", "法人番号", "الرقم الضريبي", "पैन",
)  # fmt: skip
PASSPORT_LABELS = (
    "passport", "document", "travel document", "residence permit", "reisepass", "pass-nr", "dokument", "ausweis", "aufenthaltstitel", "passeport", "titre de séjour",
    "pasaporte", "documento", "permiso de residencia", "passaporte", "paszport", "dowód", "dowodu", "pasaport", "belge", "passaporto", "paspoort", "загранпаспорт",
    "护照", "護照", "证件", "證件", "旅券", "パスポート", "書類", "在留カード", "여권", "جواز السفر", "جواز سفر", "وثيقة", "الوثيقة", "पासपोर्ट", "दस्तावेज़", "दस्तावेज",
)  # fmt: skip
HEALTH_ID_LABELS = (
    "health plan", "health insurance", "health card", "hpbn", "beneficiary number", "medicare", "medicaid", "mbi", "nhs", "krankenkasse", "krankenversicherung",
    "krankenversichertennummer", "versichertennummer", "kvnr", "carte vitale", "tarjeta sanitaria", "cartão sus", "cartao sus", "cns", "nr ubezpieczenia", "sgk no",
    "tessera sanitaria", "医保", "社保", "保険証", "健康保険", "التأمين الصحي", "स्वास्थ्य बीमा",
)  # fmt: skip
VEHICLE_LABELS = (
    "licence plate", "license plate", "number plate", "plate", "registration", "vehicle reg", "kennzeichen", "immatriculation", "plaque", "matrícula", "matricula", "placa", "tablica", "nr rejestracyjny",
    "plaka", "targa", "kenteken", "车牌", "車牌", "ナンバープレート", "رقم اللوحة", "गाड़ी नंबर", "वाहन",
)  # fmt: skip
DEVICE_LABELS = (
    "imei", "imsi", "meid", "iccid", "udid", "idfa", "gaid", "adid", "aaid", "advertising id", "device id", "device-id", "device_id", "deviceid", "serial number", "serial no", "serial", "s/n",
    "seriennummer", "geräte-id", "numéro de série", "número de serie", "número de série", "numer seryjny", "seri no", "序列号", "製造番号", "シリアル番号", "الرقم التسلسلي",
)  # fmt: skip


def _labels(words: tuple[str, ...]) -> str:
    joined = "|".join(
        re.escape(w).replace(r"\ ", r"[ _-]?") for w in sorted(set(words), key=lambda w: (-len(w), w))
    )
    return rf"(?<![A-Za-zÀ-ɏ])(?i:{joined})"


def labelled(words: tuple[str, ...], value: str) -> re.Pattern[str]:
    """A value after one of some labels, with at most three words such as "number" or "is" between them."""
    gap = r"[\s\"'*:：=#(]{0,4}"
    return re.compile(
        rf"{_labels(words)}(?![a-zà-ÿ]){gap}(?:(?i:{_NUMBER_WORD})(?![a-z]){gap}){{0,3}}{value}"
    )


def needs(words: tuple[str, ...]) -> str:
    """The condition of a rule that looks for one of some labels."""
    return "#" + beginnings(words)


def _is_number(text: str) -> bool:
    return len(digits_of(text)) >= 5 and not re.fullmatch(
        r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d", text
    )


def _is_paper(text: str) -> bool:
    return len(digits_of(text)) >= 4 and not re.fullmatch(r"(?:19|20)\d\d.*\d", text)


def _is_plate(text: str) -> bool:
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _is_device(text: str) -> bool:
    return len(digits_of(text)) >= 4


def _is_vin(text: str) -> bool:
    return 3 <= len(digits_of(text)) < 15 and any(c.isalpha() for c in text)


WORLD_NUMBER_RULES: tuple[Rule, ...] = (
    Rule("AGE", re.compile(r"(?<![\w.,-])(?:9\d|1[01]\d)[ -]?(?:years?[ -]old|y/?o\b|yrs?\b|jahre? alt|jährige?|ans\b|años|anos\b|lat\b|letni|yaşında|anni\b|jaar\b|лет\b|岁|歲|歳|才|عاما|سنة|साल|वर्ष)"), 0.8, "#", lambda t: digits_of(t) != "90"),
    Rule("AGE", re.compile(r"(?i:\baged?(?: of)?|\balter|\bwiek|\byaş|\bedad|\bidade|\bâge):?[ \t]+(?:9\d|1[01]\d)(?![\w-]|[.,]\d)"), 0.8, "#", lambda t: digits_of(t) != "90"),
    Rule("POSTAL_CODE", re.compile(r"(?<![\w.,:/#$€£-])(?i:in|from|at|near|zip|zip code|area|to)[ \t]+(?P<v>\d{5}(?:-\d{4})?)(?=[ \t]+(?:now|area|today|since)\b|[.,;!?\n]|$)"), 0.6, "#"),
    Rule("POSTAL_CODE", re.compile(r"(?<![\w.-])(?P<v>\d{5}(?:-\d{4})?|\d{2}-\d{3})[ \t]+[A-ZÀ-Þ][a-zà-ÿ]{2,}"), 0.5, "#"),
    Rule("POSTAL_CODE", re.compile(r"(?<![\w.-])[A-Z]{2}[ \t]+(?P<v>\d{5}(?:-\d{4})?)(?![\w-])"), 0.6, "#"),
    Rule("URL", re.compile(r"(?i:https?://|www\.)[^\s<>\"'，。、」)\]]{4,400}(?<![.,;:!?])"), 0.4, "http|www."),
    Rule("NATIONAL_ID", labelled(NATIONAL_ID_LABELS, _ID_VALUE), 0.85, needs(NATIONAL_ID_LABELS), _is_number),
    Rule("TAX_ID", labelled(TAX_ID_LABELS, _ID_VALUE), 0.85, needs(TAX_ID_LABELS), _is_number),
    Rule("PASSPORT", labelled(PASSPORT_LABELS, r"(?P<v>(?=[A-Z0-9]{0,4}\d)[A-Z0-9]{6,12}|[A-Z]{1,3}[ -]\d{5,9})(?!\w)"), 0.8, needs(PASSPORT_LABELS), _is_paper),
    Rule("HEALTH_ID", labelled(HEALTH_ID_LABELS, r"(?P<v>[A-Z0-9]{1,12}(?:[-/ ][A-Z0-9]*\d[A-Z0-9]*){0,4})(?!\w)"), 0.85, needs(HEALTH_ID_LABELS), lambda t: len(digits_of(t)) >= 4),
    Rule("VEHICLE_ID", labelled(VEHICLE_LABELS, r"(?P<v>[A-ZÄÖÜ一-龥]{1,3}[-· ]?[A-Z0-9]{1,5}(?:[- ][A-Z0-9]{1,5}){0,2}|\d{1,4}[- ]?[A-Z]{1,3}[- ]?\d{1,4})(?!\w)"), 0.8, needs(VEHICLE_LABELS), _is_plate),
    Rule("VEHICLE_ID", re.compile(r"(?<!\w)(?=[A-HJ-NPR-Z0-9]*[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{11}\d[A-HJ-NPR-Z0-9]\d{4}(?!\w)"), 0.8, "#", _is_vin),
    Rule("DEVICE_ID", labelled(DEVICE_LABELS, r"(?P<v>[A-Za-z0-9]{2,}(?:[-:. ][A-Za-z0-9]*\d[A-Za-z0-9]*){0,8})(?!\w)"), 0.85, needs(DEVICE_LABELS), _is_device),
    Rule("DEVICE_ID", re.compile(r"(?<![\w.-])(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}(?![\w.-])"), 0.85, "#"),
    Rule("US_SSN", re.compile(r"(?i:\b(?:nine|9)[ -]digits?\b)[^\d\n]{0,20}(?P<v>\d{9})(?!\w)"), 0.8, "#digit"),
    Rule("US_SSN", re.compile(r"(?i:\b(?:ssn|social)\b)[^\d\n]{0,20}(?P<v>\d{3}[-. ]?\d{2}[-. ]?\d{4})(?!\w)"), 0.9, "#ssn|social"),
    Rule("CREDIT_CARD", re.compile(r"(?<!\w)\d{4}(?:[^\w\n]{1,3}(?:[a-z]{2,6}[^\w\n]{1,3})?\d{4}){3}(?!\w)"), 0.85, "#", is_luhn),
    Rule("PHONE_NUMBER", SPELLED_NUMBER, 0.8, beginnings(DIGIT_WORDS)),
    Rule("IBAN_CODE", re.compile(r"(?i)(?<!\w)[A-Z]{2}\d{2}(?:[- .]?[A-Z0-9]{4}){2,7}(?:[- .]?[A-Z0-9]{1,3})?(?!\w)"), 0.9, "#", lambda t: _is_iban_shaped(t)),
    Rule("COORDINATES", re.compile(r"(?<![\w.-])-?\d{1,2}\.\d{4,8}[°NS ]{0,3},?[ \t]+-?\d{1,3}\.\d{4,8}(?![\w.]\d)"), 0.8, "#"),
    Rule("PASSWORD", re.compile(r"(?i:\b(?:seed|mnemonic|recovery|backup)(?:[ -](?:phrase|words?|key))?)[\s\"':=-]{1,4}(?:is[ :]+)?(?P<v>[a-z]{3,8}(?:[ ,]{1,2}[a-z]{3,8}){11,23})(?![a-z])"), 0.95, "seed|mnemonic|recovery|backup"),
)  # fmt: skip
"""In the order in which they are tried."""


def _is_iban_shaped(text: str) -> bool:
    from deputize.privacy.check_digits import is_iban

    return is_iban(text.replace(".", ""))
