"""Rules for street addresses in the forms of many languages and scripts."""

from __future__ import annotations

import re

from deputize.privacy.detectors.rules.rule import CAPITALISED_WORD, LOWER, UPPER, Rule, beginnings
from deputize.privacy.scripts import MARKS

_W = rf"(?:{CAPITALISED_WORD}|\d{{1,2}}(?:er|°|º)?|[{LOWER}]{{1,3}})"
_NAME = rf"{_W}(?:[ \t-]{_W}){{0,4}}"
_BIS = r"(?:[ \t]?(?:bis|ter|quater|[a-zA-Z])(?![\w]))?"
_FLAT = r"(?:,?[ \t]*(?i:apto?|appt?|app|apartamento|apartment|flat|piso|bloco|esc|puerta|étage|bât|lok|m|wohnung|whg|top|int|sala|casa|d|kat|daire|no|k)\.?[ \t:]*[\w/-]{1,6}|,[ \t]*\d{1,2}[.ºª°][ \t]?(?:[A-Z]|dcha|izq|esq|dto|dir)?\b\.?){0,3}"
_FRENCH = r"(?i:rue|avenue|av|boulevard|bd|blvd|chemin|impasse|allée|allées|route|quai|place|cours|square|passage|sentier|villa|faubourg|ruelle|promenade|résidence)\.?"
_ROMANCE = (
    r"(?:Calle|C/|Avenida|Avda|Av|Plaza|Pza|Paseo|Pº|Ronda|Rambla|Camino|Carretera|Travesía|Pasaje|Glorieta|Urbanización|Carrer|Carrera|Cra|Cl|Diagonal|Transversal|"
    r"Rua|R|Alameda|Al|Travessa|Tv|Largo|Praça|Praceta|Estrada|Rodovia|Rod|Ladeira|Beco|Via|Viale|Vicolo|Piazza|Piazzale|Corso|Strada|Contrada|Lungomare)\.?"
)
_ROMANCE_KINDS = re.sub(r"[^\w|/]", "", _ROMANCE.replace("(?:", "")).split("|")
_POLISH = r"(?:ul|al|pl|os|Ul|Al|Pl|Os|ulica|aleja|plac|osiedle)\.?"
_TURKISH_KIND = r"(?:Mahallesi|Mah|Mh|Sokağı|Sokak|Sok|Sk|Caddesi|Cadde|Cad|Cd|Bulvarı|Bulvar|Blv|Yolu)\.?"
_GERMAN_PREPOSITION = r"(?:Am|Im|Zum|Zur|Beim|Vorm|Hinterm|Unterm|Überm|An der|An den|Auf der|Auf dem|Auf den|In der|In den|Bei der|Bei den|Vor dem|Vor der|Hinter der|Hinter dem|Unter den|Unter der|Zu den|Alte[rn]?|Neue[rn]?|Obere|Untere|Großer?|Kleiner?)"
_HAN = r"[\u4e00-\u9fff]"
_CHINESE = rf"(?:{_HAN}{{2,8}}?[省市州盟])?(?:{_HAN}{{1,6}}?[市区县區縣旗])?(?:{_HAN}{{1,6}}?[乡镇鎮])?{_HAN}{{1,8}}?(?:路|街|道|巷|弄|胡同|大道|村|里)(?:{_HAN}{{0,3}}段)?\s?\d{{1,5}}\s?[号號](?:\s?(?:院|附)?\s?\d{{0,4}}\s?[栋棟幢座楼樓号號])?(?:\s?\d{{1,2}}\s?单元)?(?:\s?\d{{1,2}}\s?[楼樓层層])?(?:\s?\d{{1,5}}\s?[室号號户])?"
_JAPANESE = rf"(?:{_HAN}{{2,3}}[都道府県])?(?:{_HAN}{{1,5}}[市郡])?(?:{_HAN}{{1,4}}[区町村])?(?:{_HAN}|[\u3040-\u30ff]){{1,8}}\s?(?:\d{{1,4}}丁目)?\d{{1,4}}(?:[-－の番]\d{{1,4}}){{1,3}}号?(?:\s(?:[\u30a0-\u30ff\u4e00-\u9fff]{{2,12}}\s?)?\d{{1,4}}号?室?)?"
_ARABIC = rf"[\u0621-\u064a](?:[\u0621-\u064a{MARKS}])*"
_ARABIC_PART = rf"(?:حي|شارع|طريق|جادة|ميدان|مبنى|عمارة|بناية|شقة|فيلا|بيت|رقم|دور|الدور|الطابق|طابق|مجمع|زقاق)[ ](?:{_ARABIC}(?:[ ]{_ARABIC}){{0,3}}|\d{{1,5}})(?:[ ]\d{{1,5}})?"
_INDIC = rf"[\u0905-\u0939\u0958-\u0961](?:[\u0905-\u0939\u0958-\u0961{MARKS}])*"
_INDIC_PART = rf"(?:(?:मकान|फ्लैट|प्लॉट|घर|दुकान|कमरा|भवन)(?:[ ](?:नंबर|संख्या|नं\.?|क्रमांक))?[ ]\d{{1,5}}(?:[/-]\w{{1,4}})?|(?:सेक्टर|गली|वार्ड|ब्लॉक|फेज)(?:[ ](?:नंबर|नं\.?))?[ ]\w{{1,4}}|{_INDIC}(?:[ ]{_INDIC})?[ ](?:कॉलोनी|नगर|मार्ग|रोड|गली|विहार|एन्क्लेव|मोहल्ला|बाज़ार|चौक|पुरम|सोसाइटी)|\d{{1,4}}[,]?[ ]{_INDIC}(?:[ ]{_INDIC}){{0,2}}[ ](?:मार्ग|रोड|गली|नगर|कॉलोनी))"

LANGUAGE_ADDRESS_RULES: tuple[Rule, ...] = (
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w/-])\d{{1,4}}{_BIS},?[ \t]+{_FRENCH}[ \t]+(?:(?:de|du|des|de la|de l['’]|d['’]|la|le|les)[ \t]?){{0,2}}{CAPITALISED_WORD}(?:[ \t-](?:{CAPITALISED_WORD}|de|du|des|la|le|les|et)){{0,4}}(?<![ \t])(?:,?[ \t]+\d{{5}}[ \t]+{CAPITALISED_WORD})?(?!\w)"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w.]){_ROMANCE}[ \t]+{_NAME}(?:,?[ \t]+(?i:n[.ºo°]?[ \t]?)?)\d{{1,5}}[A-Za-z]?(?!\w){_FLAT}"), 0.85, "#" + beginnings(_ROMANCE_KINDS)),
    Rule("STREET_ADDRESS", re.compile(rf"(?<!\w){_POLISH}[ \t]+{_NAME}[ \t]+\d{{1,4}}[A-Za-z]?(?:/\d{{1,4}}[A-Za-z]?)?(?:[ \t]?m\.?[ \t]?\d{{1,4}})?(?!\w)"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<!\w)(?:{CAPITALISED_WORD}[ \t]+){{1,3}}{_TURKISH_KIND}(?:,?[ \t]+(?:\d{{1,4}}\.?[ \t]+|{CAPITALISED_WORD}[ \t]+){{1,3}}{_TURKISH_KIND}){{0,2}}(?:,?[ \t]*(?i:no|nu|numara)?[ \t.:]*\d{{1,4}}(?:[/-]\w{{1,4}})?)(?:[ \t,]*(?i:d|daire|kat|k|blok|apt)[ \t.:]*\w{{1,4}}(?!\w)){{0,3}}"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<!\w){_GERMAN_PREPOSITION}[ \t]+{CAPITALISED_WORD}(?:[ \t-]{CAPITALISED_WORD}){{0,2}}[ \t]+\d{{1,3}}[ \t]?[a-z]?(?![\w.:%€$])"), 0.7, "#", lambda t: not re.search(r"(?i)januar|februar|märz|april|\bmai\b|juni|juli|august|september|oktober|november|dezember|uhr|tag|quartal|jahr|woche|monat|seite|kapitel|punkt|version|level|abschnitt", t)),
    Rule("STREET_ADDRESS", re.compile(_CHINESE), 0.85, "#~@han"),
    Rule("STREET_ADDRESS", re.compile(_JAPANESE), 0.8, "#~@han", lambda t: not re.search(r"[年月日]", t) and len(t) > 6),
    Rule("STREET_ADDRESS", re.compile(rf"(?<!\w){_ARABIC_PART}(?:[،,][ ]?{_ARABIC_PART}){{0,5}}"), 0.8, "~@arabic", lambda t: any(c.isdigit() for c in t) or "شارع" in t),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w{MARKS}]){_INDIC_PART}(?:,[ ]?{_INDIC_PART}){{0,4}}(?:,[ ]?{_INDIC}(?=[,]))?"), 0.8, "#~@indic"),
    Rule("STREET_ADDRESS", re.compile(r"(?:〒\s?)\d{3}-?\d{4}"), 0.85, "#"),
    Rule("STREET_ADDRESS", re.compile(rf"(?<![\w.-])\d{{1,5}}[A-Za-z]?[ \t]+[{UPPER}][{LOWER}]+(?:[ \t][{UPPER}][{LOWER}]+){{0,2}}[ \t](?:Street|Road|Lane|Avenue|Drive|Close|Court|Way|Place|Terrace|Row|Rise|Mews)(?!\w)"), 0.85, "#"),
)  # fmt: skip
"""In the order in which they are tried."""
