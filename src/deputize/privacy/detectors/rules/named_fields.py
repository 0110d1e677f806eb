"""Rules for values by the name of their field, in many languages: JSON, XML, URLs, code, CSV and Markdown tables,
`name: value`."""

from __future__ import annotations

import contextlib
import csv
import re

from deputize.privacy.detectors.rules.keys_and_passwords import is_password_like
from deputize.privacy.detectors.rules.people_and_places import is_place
from deputize.privacy.detectors.rules.rule import PLACEHOLDERS, Rule, beginnings

_NAMES: dict[str, str] = {
    "PERSON": (
        "full_?name|first_?name|last_?name|given_?name|family_?name|surname|sur_?name|maiden_?name|middle_?name|nick_?name|display_?name|legal_?name|contact_?name|contact_?person|"
        "(?:customer|client|patient|guest|passenger|employee|owner|sender|recipient|receiver|holder|account_?holder|card_?holder|buyer|payee|payer|user|person|student|author|signatory|rep|agent|caller|insured|traveller|traveler)_?name|"
        "first|last|fname|lname|customer|client|patient|passenger|employee|recipient|holder|account_?holder|card_?holder|assignee|assigned_?to|reporter|requester|requested_?by|created_?by|submitted_?by|approved_?by|signed_?by|"
        "vorname|nachname|familienname|vollständiger_?name|kunde|kundin|kundenname|patientin|inhaber|inhaberin|empfänger|absender|ansprechpartner|besteller|"
        "nom|prénom|prenom|nom_?complet|nom_?de_?famille|titulaire|destinataire|expéditeur|cliente|"
        "nombre|nombres|apellidos?|nombre_?completo|primer_?apellido|titular|destinatario|remitente|paciente|"
        "nome|nome_?completo|sobrenome|apelido|destinatário|remetente|imię|imie|nazwisko|imię_?i_?nazwisko|klient|klientka|pacjent|pacjentka|posiadacz|odbiorca|nadawca|"
        "adı?_?soyadı?|ad_?soyad|isim|soyisim|soyad|soyadı|adı|müşteri|hasta|alıcı|gönderen|sahibi|cognome|nominativo|intestatario|voornaam|achternaam|naam|"
        "имя|фамилия|отчество|фио|姓名|名字|客户|客户姓名|联系人|收件人|寄件人|持有人|患者|患者姓名|氏名|お名前|名前|名義|宛名|受取人|担当者|이름|성명|"
        "الاسم|الاسم_?الكامل|اسم_?العميل|اسم_?المريض|العميل|المريض|المستلم|صاحب_?الحساب|नाम|पूरा_?नाम|ग्राहक|मरीज़|मरीज|धारक|प्राप्तकर्ता|שם|שם_?מלא|ชื่อ"
    ),
    "PHONE_NUMBER": (
        "phone|phone_?(?:number|no)|tel|tel_?(?:no|nr)|telephone|mobile|mobile_?(?:number|no)|cell|cell_?phone|msisdn|fax|whatsapp|contact_?(?:number|no)|"
        "telefon|telefonnummer|handy|handynummer|rufnummer|mobil|téléphone|telephone|portable|numéro_?de_?téléphone|teléfono|telefono|móvil|movil|celular|telefone|telemóvel|telemovel|"
        "numer_?telefonu|komórka|komorka|cep|cep_?telefonu|telefon_?numarası|cellulare|telefoon|телефон|电话|電話|手机|手机号|手機|联系电话|電話番号|携帯|전화|휴대폰|"
        "هاتف|الهاتف|جوال|الجوال|رقم_?الهاتف|رقم_?الجوال|موبايل|फ़ोन|फोन|मोबाइल|दूरभाष|טלפון|โทรศัพท์"
    ),
    "DATE_OF_BIRTH": (
        "dob|d_?o_?b|birth_?date|birth_?day|date_?of_?birth|born|born_?on|geburtsdatum|geburtstag|geb|date_?de_?naissance|naissance|né_?le|née_?le|fecha_?de_?nacimiento|fecha_?nacimiento|nacimiento|"
        "data_?de_?nascimento|nascimento|data_?nascimento|data_?urodzenia|urodzony|urodzona|doğum_?tarihi|dogum_?tarihi|data_?di_?nascita|geboortedatum|дата_?рождения|出生日期|生日|出生年月|生年月日|誕生日|생년월일|"
        "تاريخ_?الميلاد|الميلاد|जन्म_?तिथि|जन्मतिथि|जन्म_?तारीख|תאריך_?לידה|วันเกิด"
    ),
    "STREET_ADDRESS": (
        "address|addr|address_?(?:line)?_?[123]|addr_?[123]|street|street_?address|home_?address|(?:shipping|billing|delivery|postal|mailing)_?address|residence|zip|zip_?code|postal_?code|post_?code|"
        "adresse|anschrift|straße|strasse|plz|postleitzahl|rue|code_?postal|adresse_?postale|dirección|direccion|domicilio|calle|código_?postal|codigo_?postal|endereço|endereco|morada|logradouro|rua|cep_?postal|"
        "adres|ulica|kod_?pocztowy|adresi|açık_?adres|posta_?kodu|indirizzo|via|cap|адрес|地址|收货地址|住址|住所|お届け先|邮编|郵便番号|주소|العنوان|عنوان|الشارع|पता|पिन_?कोड|כתובת"
    ),
    "EMAIL_ADDRESS": (
        "e_?mail|e_?mail_?address|mail|mail_?address|courriel|correo|correo_?electrónico|correo_?electronico|e_?posta|eposta|邮箱|电子邮件|メール|メールアドレス|이메일|البريد|البريد_?الإلكتروني|ईमेल"
    ),
    "NATIONAL_ID": (
        "ssn|social_?security(?:_?number|_?no)?|national_?id(?:_?number)?|id_?number|id_?no|identity_?number|personal_?id|tax_?id|tin|vat_?id|aadhaar|pan|nino|steuer_?id|steuernummer|ausweisnummer|"
        "nir|numéro_?de_?sécurité_?sociale|dni|nif|nie|curp|rfc|cuit|cpf|cnpj|rg|pesel|nip|tckn|tc_?kimlik_?no|kimlik_?no|codice_?fiscale|bsn|personnummer|身份证|身份证号|マイナンバー|個人番号|주민등록번호|رقم_?الهوية|आधार"
    ),
    "PASSPORT": "passport|passport_?(?:number|no)|document_?(?:number|no)|reisepass|passeport|pasaporte|passaporte|paszport|pasaport|护照|护照号|旅券番号|جواز_?السفر|पासपोर्ट",
    "USERNAME": "user_?name|login|login_?name|log_?in|handle|nick|screen_?name|benutzername|anmeldename|nom_?d_?utilisateur|identifiant|usuario|nombre_?de_?usuario|usuário|usuario_?nome|użytkownik|nazwa_?użytkownika|kullanıcı_?adı|nome_?utente|用户名|ユーザー名|اسم_?المستخدم|उपयोगकर्ता_?नाम",
    "PASSWORD": "password|passwd|pwd|pass_?word|passwort|kennwort|mot_?de_?passe|contraseña|clave|senha|hasło|haslo|şifre|sifre|parola|wachtwoord|пароль|密码|密碼|パスワード|비밀번호|كلمة_?(?:السر|المرور)|पासवर्ड",
    "BANK_ACCOUNT": "iban|account_?(?:number|no)|bank_?account|kontonummer|konto|numéro_?de_?compte|rib|número_?de_?cuenta|cuenta|clabe|conta|número_?da_?conta|numer_?konta|nr_?konta|hesap_?no|numero_?conto|账号|银行卡号|卡号|口座番号|رقم_?الحساب|खाता_?संख्या",
}  # fmt: skip
"""Type -> names of fields that hold a value of it; `_?` stands for a blank, a dash, an underscore or nothing."""

_VALUES = {
    "PERSON": r"[^\W\d_][^\n\"<>{}\[\]=;|,@]{1,60}",
    "PHONE_NUMBER": r"[+(]?\d[\d ()./-]{4,22}\d",
    "DATE_OF_BIRTH": r"[^\n\"<>{}\[\]=|]{0,12}\d[^\n\"<>{}\[\]=|]{3,24}",
    "STREET_ADDRESS": r"[^\n\"<>{}\[\]=|@]{3,90}",
    "EMAIL_ADDRESS": r"[^\s\"<>{}=,;|]{1,64}@[^\s\"<>{}=,;|]{2,80}",
    "NATIONAL_ID": r"[A-Z0-9][A-Z0-9 ./-]{3,24}[A-Z0-9]",
    "PASSPORT": r"[A-Z0-9][A-Z0-9 -]{4,14}[A-Z0-9]",
    "USERNAME": r"[^\s\"<>{}\[\]=,;|]{2,60}",
    "PASSWORD": r"[^\s\"<>{}=,;|]{3,80}",
    "BANK_ACCOUNT": r"[A-Z]{0,2}\d[A-Z0-9 -]{5,34}[A-Z0-9]",
}
_NOT_VALUES = PLACEHOLDERS | {"yes", "no", "object", "array", "boolean", "date", "integer", "format", "list", "all", "any", "new", "self", "this", "id", "email", "phone", "address"}  # fmt: skip
_IN_TEXT = {"first", "last", "customer", "client", "patient", "passenger", "employee", "recipient", "holder", "via", "cap", "clave", "pan", "rut", "tin", "geb", "mail", "rue", "calle", "naissance", "titular", "handle", "conta", "konto", "cuenta", "login"}  # fmt: skip
"""Names that are everyday words in prose: they name a field in data only."""


def _pattern(names: str) -> str:
    return names.replace("_?", "[ _-]?")


def _fits(kind: str, text: str) -> bool:
    plain = text.strip().casefold()
    if plain in _NOT_VALUES or len(plain) < 2:
        return False
    n_digits = sum(c.isdigit() for c in plain)
    if kind == "PERSON":
        return n_digits == 0 and len(plain.split()) <= 6 and "://" not in plain and "_" not in plain
    if kind in ("NATIONAL_ID", "PASSPORT", "BANK_ACCOUNT", "PHONE_NUMBER"):
        return n_digits >= 4
    if kind == "STREET_ADDRESS":
        is_code = plain.replace("-", "").isdigit() and 4 <= len(plain) <= 9
        return is_code or (is_place(text) and (n_digits > 0 or not plain.isascii()))
    if kind == "EMAIL_ADDRESS":
        return "@" in plain
    if kind == "USERNAME":
        return " " not in plain and any(c.isdigit() or c in "._-@" for c in plain.strip("._-"))
    return kind != "PASSWORD" or is_password_like(text)


def _rules(kind: str) -> list[Rule]:
    names = _pattern(_NAMES[kind])
    key = rf"(?i:(?:[a-z0-9]{{1,20}}[_.-]){{0,2}}(?:{names}))"
    score = {"PERSON": 0.75, "STREET_ADDRESS": 0.7, "USERNAME": 0.75, "DATE_OF_BIRTH": 0.9}.get(kind, 0.85)

    def fits(text: str) -> bool:
        return _fits(kind, text)

    in_json = rf"\"{key}\"\s*:\s*(?:\[\s*)?(?:\"(?P<v>(?:[^\"\\\n]|\\u[0-9a-fA-F]{{4}}){{2,120}})\""
    element = rf"<(?:[\w.-]{{1,30}}:)?{key}(?:\s[^<>]{{0,80}})?>\s*(?:<!\[CDATA\[)?(?P<v>[^<>\n\]]{{2,120}}?)\s*(?:\]\]>)?\s*</"
    labelled = rf">\s*{key}\s*[:：]?\s*</[a-z]{{1,10}}>\s*<[a-z]{{1,10}}(?:\s[^<>]{{0,80}})?>\s*(?P<v>[^<>\n]{{2,120}}?)\s*</"
    assigned = rf"(?<![\w-]){key}[\"']?\s?(?:=>|:=|[=:])\s?[\"'](?P<v>[^\"'\n]{{2,120}})[\"']"
    return [
        Rule(kind, re.compile(rf"{in_json})"), score, '":|" :', fits),
        Rule(kind, re.compile(element), score, "</", fits),
        Rule(kind, re.compile(labelled), score, "</", fits),
        Rule(kind, re.compile(assigned), score, "='|=\"|= '|= \"|: '|:'|: \"|:\"|> '|>'|> \"|>\"", fits),
        Rule(kind, re.compile(rf"[?&;]{key}=(?P<v>[^&#\s\"'<>]{{2,120}})"), score, "?|&|;", fits),
    ]  # fmt: skip


def _is_full_name(text: str) -> bool:
    """At least two words, each with a capital or of a script without; no name of a machine."""
    words = text.split()
    return (
        len(words) > 1
        and _fits("PERSON", text)
        and all(word[0].isupper() or not word[0].isascii() for word in words)
    )


def _line_rule(kind: str) -> Rule:
    """`name: value`, in a line of text or YAML."""
    names = "|".join(n for n in _pattern(_NAMES[kind]).split("|") if n not in _IN_TEXT)
    pattern = rf"(?<!\w)(?i:{names})[*\"']{{0,3}}[ \t]?[:：][*\"']{{0,3}}[ \t]*(?P<v>{_VALUES[kind]}?)(?=[\"'*]?(?:[,;，。、|\n]|\.(?:\s|$)|$))"

    def fits(text: str) -> bool:
        return _fits(kind, text) and not (kind == "PERSON" and (text.islower() or len(text.split()) > 4))

    beginning = beginnings(re.split(r"[^\w ]", name)[0] for name in names.split("|"))
    return Rule(kind, re.compile(pattern), 0.6, beginning, fits)


FIELD_NAME_RULES: tuple[Rule, ...] = (
    *(rule for kind in _NAMES for rule in _rules(kind)),
    *(_line_rule(kind) for kind in ("PERSON", "PHONE_NUMBER", "DATE_OF_BIRTH", "STREET_ADDRESS")),
    Rule("PHONE_NUMBER", re.compile(rf"\"(?i:{_pattern(_NAMES['PHONE_NUMBER'])})\"\s*:\s*(?P<v>\d{{7,15}})(?!\d)"), 0.85, '":'),
    Rule("PERSON", re.compile(r"(?<!\w)(?i:cn|fn|gecos)=\"?(?P<v>[^,;:=+\"<>\n]{3,80}?)(?=[,;:+\"\n]|$)"), 0.75, "cn=|fn=|gecos=", _is_full_name),
    Rule("NATIONAL_ID", re.compile(rf"\"(?i:{_pattern(_NAMES['NATIONAL_ID'])})\"\s*:\s*(?P<v>\d{{6,18}})(?!\d)"), 0.85, '":'),
)  # fmt: skip
"""In the order in which they are tried."""

_PERSONAL_COLUMN = re.compile("|".join(f"(?:{_pattern(names)})" for names in _NAMES.values()), re.IGNORECASE)
_BARE_COLUMN = re.compile(
    r"(?i)name|who|whom|user|contact|person|owner|by|from|to|wer|kto|qui|quién|quien|quem|kim|谁|誰|من|कौन"
)
_SEPARATORS = ("|", "\t", ";", ",")


def table_cells(lines: list[str]) -> list[str]:
    """`"column": "cell"` for each cell of a personal column in CSV or Markdown tables among the lines, as JSON would
    write it."""
    out = _html_cells("\n".join(lines)) if any(map(_HAS_HEADS, lines)) else []
    columns: list[str] = []
    separator = ""
    for line in lines:
        cells = _cells(line, separator) if separator else []
        if columns and len(cells) == len(columns):
            out += [
                f'"{_key(name)}": "{cell}"'
                for name, cell in zip(columns, cells, strict=True)
                if name and cell and cell.strip("-: ") and '"' not in cell
            ]
            continue
        columns, separator = [], ""
        for mark in _SEPARATORS:
            heads = _cells(line, mark)
            if 2 <= len(heads) <= 60 and all(len(h) <= 40 for h in heads):
                named = [h if _is_personal(h) else "" for h in heads]
                if any(named):
                    columns, separator = named, mark
                    break
    return out


_HAS_HEADS = re.compile(r"(?i)<th\b").search
_TABLE_ROW = re.compile(r"(?is)<tr\b[^>]{0,200}>(.*?)(?=</?t(?:r|able)\b|$)")
_TABLE_CELL = re.compile(r"(?is)<t([hd])\b[^>]{0,200}>(.*?)(?=</?t[hdr]\b|</table|$)")
_TAG = re.compile(r"<[^<>]{1,200}>")


def _html_cells(text: str) -> list[str]:
    """The same for the tables of a text in HTML whose first row names the columns."""
    out: list[str] = []
    columns: list[str] = []
    for row in _TABLE_ROW.finditer(text):
        cells = [(cell[1].lower(), _TAG.sub("", cell[2]).strip()) for cell in _TABLE_CELL.finditer(row[1])]
        if cells and all(kind == "h" for kind, _ in cells):
            columns = [text if _is_personal(text) else "" for _, text in cells]
        elif len(cells) == len(columns):
            out += [
                f'"{_key(name)}": "{cell}"'
                for name, (_, cell) in zip(columns, cells, strict=True)
                if name and cell and '"' not in cell and "\n" not in cell
            ]
    return out


def _is_personal(head: str) -> bool:
    return bool(_PERSONAL_COLUMN.fullmatch(head) or _BARE_COLUMN.fullmatch(head))


def _key(name: str) -> str:
    return name if _PERSONAL_COLUMN.fullmatch(name) else "full_name"


def _cells(line: str, separator: str) -> list[str]:
    text = line.strip()
    if separator == "|":
        text = text.strip("|")
    elif '"' in text:
        # a cell in quotes may hold the separator; a row that is split there would end the table
        with contextlib.suppress(csv.Error, StopIteration):
            return [
                cell.strip() for cell in next(csv.reader([text], delimiter=separator, skipinitialspace=True))
            ]
    return [cell.strip().strip("\"'") for cell in text.split(separator)]
