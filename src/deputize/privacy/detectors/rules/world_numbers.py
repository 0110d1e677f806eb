"""Rules for numbers of states, papers, health plans, vehicles and devices, by the words before them in many languages
and by check digits."""

from __future__ import annotations

import re

from deputize.privacy.check_digits import digits_of, is_luhn
from deputize.privacy.detectors.rules.rule import Rule, beginnings
from deputize.privacy.spelled_numbers import DIGIT_WORDS, SPELLED_NUMBER

_NUMBER_WORD = (
    r"(?:numbers?|num\.?|no\.?|nr\.?|n\.?[°ºo]\.?|numéro|numero|número|nummer|numer|numaras[ıi]|card|code|is|est|es|ist|lautet|to|é|jest|"
    r"号码?|號碼?|番号|は|رقم|هو|نंबर|नंबर|संख्या|है|#|:|=)"
)
_ID_VALUE = (
    r"(?P<v>[A-Z]{0,4}[ -]?\d[\dA-Z]*(?:[-./ ]{1,2}[\dA-Z]*\d[\dA-Z]*){0,7}(?:-?[A-Z](?![a-z]))?)(?!\w)"
)
_RECORD_VALUE = r"(?P<v>(?:[A-Z]{1,10}[-/ ]?|[a-z]{1,4}[-/]){0,2}\d[\dA-Za-z]*(?:[-./ ][\dA-Z]*\d[\dA-Z]*){0,7}(?:[-/][A-Z]{1,3})?)(?!\w)"
_CASE_VALUE = r"(?P<v>(?:[IVX]{1,5} )?(?:[A-Z][A-Za-z]{0,3}[-/ ]{0,2})?\d[\dA-Z]*(?:[-./ ](?:[A-Z][A-Za-z]{0,3}[-/ ])?[\dA-Z]*\d[\dA-Z]*){0,7})(?!\w)"
_WRITTEN_NUMBER = r"(?:numbers?|num\.?|nos?\.?|nr\.?|n\.? ?[°ºo]s?\.?|numéro|numero|número|nummer|numer|numaras[ıi]|ids?|\#)"
"""How the word "number" is written next to the word for what is numbered; "#" in a label stands for it."""

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
    "nass", "n.a.s.s", "naf", "# de afiliación", "# afiliación", "# de sécurité sociale",
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
    "cip", "cipa", "c.i.p", "id sanitario", "# de asegurado", "# asegurado", "# de póliza", "póliza #", "# d'assuré", "# assuré", "# d'assurance", "# de mutuelle",
    "# d'adhérent", "versichertennr", "versicherten-nr", "versicherten-#", "versicherungsnr", "versicherungs-nr", "versicherungsnummer", "# da apólice",
    "# de apólice", "apólice #", "# de beneficiário", "# do beneficiário", "# da carteirinha", "carteirinha", "# polisy", "polisa #", "# ubezpieczenia",
    "# ubezpieczonego", "# ubezpieczeniowy", "poliçe #", "sigorta #", "insured #", "# de tarjeta sanitaria",
    "رقم التأمين", "رقم البوليصة", "رقم بوليصة التأمين", "बीमा संख्या", "बीमा नंबर", "पॉलिसी संख्या", "पॉलिसी नंबर", "保险号", "保险单号", "保单号", "保單號", "参保号",
    "被保険者番号", "被保険者証", "保険者番号", "保険番号",
    "tessera sanitaria", "医保", "社保", "保険証", "健康保険", "التأمين الصحي", "स्वास्थ्य बीमा",
)  # fmt: skip
MEDICAL_RECORD_LABELS = (
    "mrn", "medical record", "health record", "clinical record", "hospital record", "patient record", "medical file", "record number", "record no", "patient #", "chart #",
    "nhc", "n.h.c", "nuhsa", "historia clínica", "historia clinica", "# de historia", "# historia", "# h.c", "expediente clínico", "# de paciente", "# del paciente",
    "paciente #", "id asistencial", "identificador asistencial", "episodio", "# de ingreso",
    "prontuário", "prontuario", "# de utente", "# do utente", "# utente", "utente #", "processo clínico", "# do paciente", "registo clínico", "# de atendimento",
    "ipp", "# de dossier", "# dossier", "# du dossier", "dossier #", "dossier médical", "dossier patient", "# de patient", "# patient", "# du patient", "identifiant patient", "# d'admission",
    "# de séjour", "patientennummer", "patientennr", "patienten-nr", "patienten-id", "patienten-#", "pat.-nr", "pat-nr", "pat.-id", "pat-id", "fallnummer", "fallnr", "fall-nr",
    "aktennummer", "akten-nr", "krankenakte", "aufnahmenummer", "aufnahme-nr", "# ewidencyjny", "# pacjenta", "pacjent #", "# historii choroby", "historia choroby", "historii choroby",
    "# karty pacjenta", "# kartoteki", "# księgi głównej", "dosya #", "hasta #", "hasta dosya #", "protokol #",
    "رقم الملف الطبي", "رقم الملف", "رقم ملف المريض", "رقم ملف", "الملف الطبي", "رقم المريض", "رقم السجل الطبي", "رقم السجل", "السجل الطبي",
    "रोगी संख्या", "रोगी क्रमांक", "रोगी नंबर", "रोगी आईडी", "रोगी पंजीकरण", "मरीज संख्या", "मरीज़ संख्या", "मरीज आईडी", "मरीज़ आईडी", "मरीज नंबर", "मेडिकल रिकॉर्ड", "चिकित्सा रिकॉर्ड", "फ़ाइल संख्या", "फाइल संख्या",
    "病历号", "病歷號", "病历编号", "病案号", "病案號", "住院号", "住院號", "门诊号", "門診號", "就诊号", "就诊卡号", "患者编号", "患者號碼", "患者号", "病人编号", "病人号", "患者id", "病人id",
    "診察券番号", "診察券", "カルテ番号", "患者番号", "患者id", "診療録番号", "病歴番号", "症例番号",
)  # fmt: skip
"""Of the file that a hospital, practice or office keeps about a person; "#" stands for the word "number"."""
LICENSE_LABELS = (
    "# de colegiado", "# de colegiada", "# colegiado", "# colegiada", "# de col.", "# col.", "# col", "colegiado", "colegiada", "cédula profesional", "cédula profissional", "ordem dos médicos",
    "rpps", "adeli", "approbationsnummer", "arztnummer", "lanr", "pwz", "prawa wykonywania zawodu", "diploma tescil", "diploma #", "gmc #", "medical licence", "medical license",
    "رقم الترخيص", "رقم القيد", "执业证书", "执业证号", "医师执业", "医籍番号", "医籍登録", "चिकित्सा पंजीकरण",
)  # fmt: skip
"""Of the right of a doctor or another person to do their work."""
CASE_LABELS = (
    "docket #", "court file #", "court case #", "case file #", "aktenzeichen", "geschäftszeichen", "expediente", "# de expediente", "# de autos", "# de procedimiento",
    "# de processo", "# do processo", "processo #", "autos #", "# rg", "# de rg", "# d'affaire", "sygnatura akt", "sygn. akt", "sygnatura", "# sprawy", "# akt", "esas #", "dava #",
    "رقم القضية", "رقم الدعوى", "वाद संख्या", "मुकदमा संख्या", "प्रकरण संख्या", "केस संख्या", "案号", "案號", "案件编号", "事件番号",
)  # fmt: skip
"""Of a case about a person at a court or office; a plain "case number" is not among them: support desks number their
tickets so."""
COURT_WORDS = (
    "applications?", "cases?", "requêtes?", "affaires?", "demandas?", "asuntos?", "queixas?", "beschwerden?", "rechtssachen?", "skarg[ai]", "sprawa",
    "başvuru(?:lar)?",
)  # fmt: skip
"""Patterns of words before the number of a case at a court, written as number and year."""
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
        re.escape(w).replace(r"\ ", r"[ _-]?").replace(r"\#", _WRITTEN_NUMBER)
        for w in sorted(set(words), key=lambda w: (-len(w), w))
    )
    return rf"(?<![A-Za-zÀ-ɏ])(?i:{joined})"


def labelled(words: tuple[str, ...], value: str) -> re.Pattern[str]:
    """A value after one of some labels, with at most three words such as "number" or "is" between them."""
    gap = r"[\s\"'*:：=#(]{0,4}"
    return re.compile(
        rf"{_labels(words)}(?![a-zà-ÿ]){gap}(?:(?i:{_NUMBER_WORD})(?![a-z]){gap}){{0,3}}{value}"
    )


def needs(words: tuple[str, ...]) -> str:
    """The condition of a rule that looks for one of some labels; where "#" is part of one, its longest word is
    needed."""
    return "#" + beginnings(max(re.split(r"[# '.-]+", w), key=len) if "#" in w else w for w in words)


def _is_number(text: str) -> bool:
    return len(digits_of(text)) >= 5 and not re.fullmatch(
        r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d", text
    )


def _is_record(text: str) -> bool:
    """A number of a person's file: four digits at least, and neither a date nor a year."""
    return (len(digits_of(text)) == 4 and not re.fullmatch(r"(?:19|20)\d\d", text)) or _is_number(text)


def _is_paper(text: str) -> bool:
    return len(digits_of(text)) >= 4 and not re.fullmatch(r"(?:19|20)\d\d.*\d", text)


def _is_plate(text: str) -> bool:
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _is_device(text: str) -> bool:
    return len(digits_of(text)) >= 4


def _is_vin(text: str) -> bool:
    return 3 <= len(digits_of(text)) < 15 and any(c.isalpha() for c in text)


_COURT_NEEDS = "#" + beginnings(re.sub(r"\W.*", "", word) for word in COURT_WORDS)

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
    Rule("HEALTH_ID", labelled(HEALTH_ID_LABELS, r"(?P<v>(?:[a-z]{1,4}[-/])?[A-Z0-9]{1,12}(?:[-/ ][A-Z0-9]*\d[A-Z0-9]*){0,4})(?!\w)"), 0.85, needs(HEALTH_ID_LABELS), lambda t: len(digits_of(t)) >= 4),
    Rule("MEDICAL_RECORD", labelled(MEDICAL_RECORD_LABELS, _RECORD_VALUE), 0.85, needs(MEDICAL_RECORD_LABELS), _is_record),
    Rule("LICENSE_NUMBER", labelled(LICENSE_LABELS, _RECORD_VALUE), 0.85, needs(LICENSE_LABELS), _is_record),
    Rule("CASE_NUMBER", labelled(CASE_LABELS, _CASE_VALUE), 0.8, needs(CASE_LABELS), _is_record),
    Rule("CASE_NUMBER", re.compile(rf"(?<!\w)(?i:{'|'.join(COURT_WORDS)})[ (]{{1,2}}(?i:{_WRITTEN_NUMBER})[ \u00a0]?(?P<v>\d{{1,5}}/\d{{2}})(?![\w/])"), 0.8, _COURT_NEEDS),
    Rule("CASE_NUMBER", re.compile(r"(?:(?<=/\d\d, )|(?<=/\d\d [ye] )|(?<=/\d\d et )|(?<=/\d\d (?:and|und) ))\d{5}/\d{2}(?![\w/])"), 0.6, _COURT_NEEDS),
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
