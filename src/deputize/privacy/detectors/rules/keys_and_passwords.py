"""Rules for secrets: keys, tokens and passwords."""

from __future__ import annotations

import re

from deputize.privacy.detectors.rules.rule import (
    LINKS,
    PLACEHOLDERS,
    STATE_WORDS,
    Rule,
    beginnings,
    has_digit,
    keyed,
)
from deputize.privacy.scripts import UNSPACED

_PASSWORD_LABELS = r"password|passwd|pass[ _-]?phrase|passcode|pwd|pass|pw|passwort|kennwort|contraseña|mot de passe|wachtwoord"


def _is_secret_like(text: str) -> bool:
    """A value that looks made, not written: a digit next to letters, or long and of mixed case."""
    plain = text.strip(".,;:!?)")
    if plain.lower() in PLACEHOLDERS or len(set(plain)) < 4 or plain[0] in "<${[(*":
        return False
    has_digit = any(c.isdigit() for c in plain)
    return (has_digit and any(c.isalpha() for c in plain)) or (len(plain) >= 20 and not plain.islower())


def is_password_like(text: str) -> bool:
    plain = text.strip(".,;:)}]")
    first = plain.split()[0].lower() if plain.strip() else ""
    if first != plain.lower() and first in (PLACEHOLDERS | STATE_WORDS | {"a", "an"}):
        return False
    if (
        len(plain) < 4
        or plain.lower() in PLACEHOLDERS
        or plain.startswith(("http", "<", "${", "$(", "{", "[", "("))
        or set(plain) <= set("*•xX.-_")
    ):
        return False
    return not plain.isalpha() or not (plain.islower() or plain.istitle())


def _is_account(text: str) -> bool:
    """A log-in name: letters with digits, dots or underscores among them."""
    plain = text.rstrip(".-_")
    return (
        len(plain) >= 4
        and any(c.isdigit() or c in "._" for c in plain)
        and not re.fullmatch(r"(?i)v?\d[\d.]*|id_?\d+|user_?id", plain)
    )


def _is_password_word(text: str) -> bool:
    """A password that may be an ordinary word, where the form leaves no doubt that one stands there."""
    plain = text.strip(".,;:)")
    return is_password_like(text) or (
        len(plain) >= 6 and plain.isalpha() and plain.lower() not in PLACEHOLDERS | STATE_WORDS
    )


_PASSWORD_WORDS = (
    r"password|passwd|passcode|passphrase|passwort|kennwort|mot de passe|contraseña|clave|senha|hasło|hasła|şifre(?:si|niz)?|parola|wachtwoord|пароль|密码|密碼|パスワード|비밀번호|"
    r"كلمة (?:المرور|السر)|पासवर्ड"
)
_USER_WORDS = (
    r"user ?name|user|login|log-?in|benutzername|benutzer|anmeldename|nutzername|identifiant|nom d'utilisateur|utilisateur|usuario|usuário|użytkownik|nazwa użytkownika|kullanıcı adı|kullanıcı|"
    r"nome utente|gebruikersnaam|логин|用户名|用户|ユーザー名|ユーザID|아이디|اسم المستخدم|المستخدم|उपयोगकर्ता(?: नाम)?|यूज़रनेम|यूजरनेम"
)


def _is_made_up(text: str) -> bool:
    """Digits beside letters, as nobody writes a word."""
    plain = text.strip(".,;:!?)\"'」』”»")
    n_digits = sum(c.isdigit() for c in plain)
    return (
        len(plain) >= 5
        and 0 < n_digits < len(plain)
        and any(c.isalpha() for c in plain)
        and "://" not in plain
    )


SECRET_RULES: tuple[Rule, ...] = (
    Rule("PASSWORD", re.compile(rf"(?i:(?<![^\W{UNSPACED}])(?:{_PASSWORD_WORDS}))(?![a-z])[\s:：=\"'“「«(]{{0,3}}(?:(?:is|was|ist|lautet|war|est|es|é|to|jest|wynosi|はは?|は|是|为|هي|है)[\s:：\"'“「«]{{0,3}})?(?P<v>[^\s\"'“”「」«»,;，。、。()<>]{{5,60}})"), 0.8, "#" + beginnings(re.findall(r"[^\W_]+", _PASSWORD_WORDS)), _is_made_up),
    Rule("USERNAME", re.compile(rf"(?i:(?<![^\W{UNSPACED}])(?:{_USER_WORDS}))(?![a-z])[\s:：=\"'“「«(]{{1,3}}(?:(?:is|ist|lautet|est|es|é|jest|は|是|为|هو|है)[\s:：\"'“「«]{{0,3}})?(?P<v>[A-Za-z][\w.-]{{2,39}})(?![\w@])"), 0.75, beginnings(re.findall(r"[^\W_]{3,}", _USER_WORDS)), _is_account),
    Rule("API_KEY", re.compile(r"(?<![\w-])(?:sk|pk|rk|ak)[-_](?:live[-_]|test[-_]|proj[-_]|ant[-_])?[A-Za-z0-9_-]{10,}"), 0.95, "sk-|sk_|pk-|pk_|rk_|rk-|ak_|ak-", has_digit),
    Rule("API_KEY", re.compile(r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}|pypi-[\w-]{20,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}|dop_v1_[0-9a-f]{30,}|whsec_[\w+/=-]{16,}|hv[sb]\.[\w-]{16,}|ya29\.[\w-]{20,}|glrt-[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|AIza[\w-]{30,}|(?:AKIA|ASIA|AROA)[A-Z0-9]{16})(?!\w)"), 0.99),
    Rule("API_KEY", re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), 0.99, "eyJ"),
    Rule("API_KEY", re.compile(r"(?i:bearer|basic)\s+(?P<v>[A-Za-z0-9._~+/=-]{16,})"), 0.9, "earer|asic|EARER|ASIC", _is_secret_like),
    Rule("API_KEY", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(?P<v>[A-Za-z0-9+/=\s\\:,]+(?:-(?!----)[A-Za-z0-9+/=\s\\:,]+)*)"), 0.99, "PRIVATE KEY"),
    Rule("API_KEY", re.compile(r"^[ \t]*(?P<v>[A-Za-z0-9+/]{60,}={0,2})[ \t\r]*$", re.MULTILINE), 0.6, "#", _is_secret_like),
    Rule("API_KEY", keyed(r"(?:api|app|application|account|auth|signing|encryption|master|shared|storage|service|webhook|subscription|deploy)[_ -]?keys?(?: for \w+)?|secret(?:[_ -]?(?:key|access[_ -]?key))?(?:[_ -]?base)?|(?:access|auth|bearer|refresh|session|id|api)?[_ -]?token|access[_ -]?key(?:[_ -]?id)?|client[_ -]?secret|api[_ -]?secret|private[_ -]?key|authorization", r"(?!Bearer|bearer|Basic)[^\s\"',;()<>{}\\]{8,}", rf"{LINKS}|(?=[\w-]{{20,}})"), 0.85, "key|secret|token|authorization", _is_secret_like),
    Rule("API_KEY", re.compile(r"(?i:\b(?:key|name)\s*=\s*[\"'][\w.:-]*(?:key|secret|token|password|pwd)[\"']\s+value\s*=\s*[\"'])(?P<v>[^\"'\n]{4,})"), 0.9, "value|VALUE", is_password_like),
    Rule("API_KEY", re.compile(r"(?<!\S)--?(?i:(?:access-|auth-|api-)?token|api-?key|(?:client-)?secret|password|passwd|pass)(?:=|[ \t]+)[\"']?(?P<v>[^\s\"'-][^\s\"']{3,})"), 0.85, "-", is_password_like),
    Rule("PASSWORD", keyed(rf"(?:{_PASSWORD_LABELS})(?: (?:for|to|of|on) (?:[\w.-]+ ){{0,2}}[\w.-]+)?", r"(?<=\")(?:[^\"\\\n]|\\.){4,60}(?=\")|(?<=')(?:[^'\\\n]|\\.){4,60}(?=')|[^\s\"',;<>\\]{4,}", r":=|[:=]|=>|->|[ \t]-[ \t]|\b(?:is|was|lautet|to)\b"), 0.9, "pass|pwd|pw|kennwort|contrase|wachtwoord", is_password_like),
    Rule("PASSWORD", re.compile(rf"(?i:(?:[\w-]*[_.-])?(?:{_PASSWORD_LABELS}))=(?P<v>[A-Za-z]{{6,40}})(?![\w(.])"), 0.8, "=", _is_password_word),
    Rule("PASSWORD", re.compile(rf"(?i:<(?P<tag>[\w:-]*(?:{_PASSWORD_LABELS}|secret|token|apikey))>)(?P<v>[^<\s]{{4,}})</"), 0.9, "</", _is_password_word),
    Rule("PASSWORD", re.compile(rf"(?i:\b(?:{_PASSWORD_LABELS})[ \t]+(?:from|to|as)[ \t]+(?:\S+[ \t]+to[ \t]+)?)[\"']?(?P<v>[^\s\"',;]{{4,}})"), 0.85, "#", _is_secret_like),
    Rule("PASSWORD", re.compile(rf"(?i:\b(?:{_PASSWORD_LABELS})[ \t]+from[ \t]+)[\"']?(?P<v>[^\s\"',;]{{4,}})"), 0.85, "#", _is_secret_like),
    Rule("PASSWORD", re.compile(r"\bmysql\w*\b[^\n|;]*[ \t]-p(?P<v>[^\s\"'-][^\s\"']{3,})"), 0.9, "mysql"),
    Rule("PASSWORD", re.compile(r"://[^\s:/@]*:(?P<v>[^\s@/]{3,})@"), 0.95, "://"),
    Rule("PASSWORD", keyed(r"pin(?: ?code)?|otp|verification code|security code|cvv2?|cvc", r"\d{3,8}(?!\d)"), 0.8, "#"),
    Rule("PASSWORD", re.compile(r"(?<![\w-])(?:PIN|OTP|(?i:cvv2?|cvc2?))(?:[ \t](?:is|code))?[ \t:]+(?P<v>\d{3,8})(?![\w.-])"), 0.8, "#"),
    Rule("PASSWORD", keyed(r"(?:access|entry|door|gate|alarm|safe|security|pass)[ _-]?code", r"(?=[\w-]*\d)[\w-]{4,16}(?!\w)"), 0.8, "#"),
    Rule("PASSWORD", re.compile(r"(?i:identified (?:with \w+ )?by(?: password)?)\s+'(?P<v>[^'\n]{4,})'"), 0.95, "BY|by"),
    Rule("USERNAME", re.compile(r"'(?P<v>[\w.-]{2,40})'@'"), 0.9, "'@'"),
)  # fmt: skip
"""In the order in which they are tried."""
