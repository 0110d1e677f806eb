"""Rules for names of people after the words that introduce them, in the languages and scripts of the world."""

from __future__ import annotations

import re
from itertools import pairwise

from deputize.privacy.detectors.gazetteer import is_name, is_only_name, native_names
from deputize.privacy.detectors.rules.people_and_places import is_person_like
from deputize.privacy.detectors.rules.rule import CAPITALISED_WORD, LOWER, UPPER, Rule, beginnings
from deputize.privacy.scripts import MARKS

_PARTICLE = r"(?:de|da|do|dos|das|del|della|di|du|des|van|von|der|den|zu|la|le|bin|ibn|al|el|y|e)"
_WORD = rf"(?:[{UPPER}]\.(?=[ \t])|{CAPITALISED_WORD.removesuffix(chr(92) + '.?')})"
_NAME = rf"{_WORD}(?:[ \t\u00a0]+(?:{_PARTICLE}[ \t]+){{0,2}}{_WORD}){{1,3}}"
_UPPER_NAME = (
    rf"[{UPPER}]{{2,}}(?:[-'’][{UPPER}]{{2,}})?(?:[ \t]+[{UPPER}]{{2,}}(?:[-'’][{UPPER}]{{2,}})?){{1,3}}"
)

_INTRODUCTIONS = (
    "this is", "my name is", "i am", "i'm", "it's", "holder", "patient", "passenger", "customer", "caller", "client", "guest", "claimant", "spoke with", "spoke to", "talked to",
    "hier ist", "hier spricht", "ich bin", "ich heiße", "mein name ist", "inhaber", "inhaberin", "patientin", "kunde", "kundin", "versicherte", "versicherter", "fahrgast", "mieter", "mieterin", "gast", "halter", "halterin",
    "je suis", "je m'appelle", "c'est", "titulaire", "patiente", "cliente", "client", "passager", "passagère", "assuré", "assurée", "locataire", "voyageur",
    "soy", "me llamo", "mi nombre es", "habla", "titular", "paciente", "clienta", "pasajero", "pasajera", "asegurado", "asegurada",
    "aqui é", "eu sou", "sou o", "sou a", "me chamo", "meu nome é", "passageiro", "passageira", "segurado", "segurada",
    "tu", "nazywam się", "jestem", "posiadacz", "posiadaczka", "pacjent", "pacjentka", "klient", "klientka", "pasażer", "pasażerka", "ubezpieczony", "ubezpieczona",
    "ben", "benim adım", "adım", "sahibi", "hasta", "müşteri", "yolcu", "sigortalı", "kiracı", "misafir",
    "sono", "mi chiamo", "intestatario", "paziente", "ik ben", "mijn naam is", "houder", "patiënt", "jag heter", "jeg hedder", "jeg heter",
)  # fmt: skip
_PREPOSITIONS = "to|for|by|with|from|an|für|von|mit|bei|zu|à|pour|par|avec|de|chez|a|para|por|con|do|dla|od|przez|z|için|ile|per"
_HONORIFICS = r"Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Herrn?|Frau|M|Mme|Mlle|Monsieur|Madame|Sr|Sra|Srta|Señora?|Senhora?|Don|Doña|D|Dña|Pani|Panu|Pana|Pan|Sayın|Bay|Bayan|Sig|Sigra|Signora?|Dhr|Mevr"
_SIGN_OFFS = (
    r"(?:best|kind|warm|many thanks|thanks|thank you|yours|regards|cheers|sincerely)[\w ]{0,20}|(?:mit |viele |beste |herzliche |freundliche )[\w ]{0,24}grü(?:ß|ss)e?n?|(?:lg|vg|mfg)|(?:bien )?cordialement|(?:bien à vous|salutations[\w ]{0,20})|"
    r"(?:un |atentos? |cordial )?saludos?(?: cordial(?:es)?)?|atentamente|atenciosamente|(?:com os melhores )?cumprimentos|abraços?|(?:z |łączę )?(?:poważaniem|wyrazami szacunku|pozdrowieniami)|pozdrawiam|saygılar(?:ımla|ımızla)?|iyi günler|"
    r"cordiali saluti|distinti saluti|met vriendelijke groet(?:en)?|med vänlig(?:a)? hälsning(?:ar)?|此致|敬礼|此致敬礼|顺祝商祺|祝好|谢谢|よろしくお願い[^\s]{0,8}|敬具|以上|مع (?:أطيب )?(?:التحيات|التحية)|تحياتي|وشكرا|सादर|धन्यवाद|आपका|आपकी|भवदीय"
)
SIGN_OFF_LINE = re.compile(rf"\s*(?i:{_SIGN_OFFS})[\s,.!،।。]*")
"""A line above a signature."""

_HAN_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马苗凤花方俞任袁柳酆鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元卜顾孟平黄和穆萧尹姚邵湛汪祁毛禹狄米贝明臧计伏成戴谈宋茅庞熊纪舒屈项祝董梁杜阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万支柯昝管卢莫经房裘缪干解应宗丁宣贲邓郁单杭洪包诸左石崔吉钮龚程嵇邢滑裴陆荣翁荀羊甄曲家封芮羿储靳汲邴糜松井段富巫乌焦巴弓牧隗山谷车侯宓蓬全郗班仰秋仲伊宫宁仇栾暴甘厉戎祖武符刘景詹束龙叶幸司韶郜黎蓟薄印宿白怀蒲邰从鄂索咸籍赖卓蔺屠蒙池乔阴胥能苍双闻莘党翟谭贡劳逄姬申扶堵冉宰郦雍璩桑桂濮牛寿通边扈燕冀郏浦尚农温别庄晏柴瞿阎充慕连茹习宦艾鱼容向古易慎戈廖庾终暨居衡步都耿满弘匡国文寇广禄阙东欧殳沃利蔚越夔隆师巩厍聂晁勾敖融冷訾辛阚那简饶空曾毋沙乜养鞠须丰巢关蒯相查后荆红游竺权逯盖益桓公趙錢孫吳鄭馮陳衛蔣韓楊許張嚴陶謝鄒蘇範魯韋馬鳳任費賀湯羅畢於顧黃蕭貝計談龐熊紀項閔賈婁顏鍾駱萬盧葉劉龍蒙喬蒼雙聞譚貢勞連習"
_JAPANESE_SURNAMES = "佐藤|鈴木|高橋|田中|伊藤|渡辺|渡邊|山本|中村|小林|加藤|吉田|山田|佐々木|山口|松本|井上|木村|林|斎藤|斉藤|清水|山崎|森|池田|橋本|阿部|石川|山下|中島|石井|小川|前田|岡田|長谷川|藤田|後藤|近藤|村上|遠藤|青木|坂本|福田|太田|西村|藤井|金子|岡本|藤原|中野|三浦|原田|中川|松田|竹内|小野|田村|中山|和田|石田|森田|上田|原|内田|柴田|酒井|宮崎|横山|高木|安藤|宮本|大野|小島|谷口|今井|工藤|高田|増田|丸山|杉山|村田|大塚|新井|小山|平野|藤本|河野|上野|野口|武田|松井|千葉|菅原|岩崎|久保|木下|佐野|野村|松尾|市川|菊地|菊池|杉本|古川|大西|島田|水野|桜井|高野|渡部|吉川|山内|西田|飯田|西川|小松|北村|安田|五十嵐|川口|平田|関|中田|久保田|服部|東|岩田|土屋|川崎|福島|本田|樋口|辻|秋山|田口|永井|山中|中西|吉村|川上|石原|馬場|大橋|松岡|浜田|森本|星野|矢野|浅野|松下|大久保|吉岡|小池|野田|荒木|熊谷|松浦|大谷|内藤|黒田|尾崎|川村|永田|望月|松村|田辺|荒井|堀|平井|大島|西山|早川|栗原|広瀬|横田|石橋|岩本|萩原|片山|関口|宮田|大石|本間|高山|須藤|岡崎|小田|吉野|鎌田|上村|伊東|小西"
_HAN = r"[\u4e00-\u9fff]"
_HAN_NAME = rf"[{_HAN_SURNAMES}]{_HAN}{{1,2}}"
_HAN_INTRODUCTIONS = "我是|我叫|我的名字是|姓名|名字|患者|病人|客户|客戶|乘客|旅客|持有人|持卡人|收件人|收货人|寄件人|联系人|申请人|投保人|被保险人|租客|户主|本人|送给|寄给|交给|转给|通知|联系|致电"
_ARABIC = rf"[\u0621-\u064a\u0671-\u06d3](?:[\u0621-\u064a\u0671-\u06d3{MARKS}])+"
_ARABIC_NAME = rf"(?:عبد[ ]?)?{_ARABIC}(?:[ ](?:بن|ابن|بنت|أبو|آل)){{0,1}}[ ]{_ARABIC}(?:[ ]ال{_ARABIC})?"
_ARABIC_INTRODUCTIONS = "معك|معكم|أنا|اسمي|المريضة?|صاحبها|صاحبه|صاحب|السيدة?|العميلة?|الزبونة?|المسافرة?|الراكبة?|المستلم|الاسم|حامل(?:ها|ه)?|الدكتورة?|الأستاذة?|باسم"
_INDIC = rf"[\u0905-\u0939\u0958-\u0961](?:[\u0905-\u0939\u0958-\u0961{MARKS}])*"
_INDIC_NAME = rf"{_INDIC}[ ]{_INDIC}"
_INDIC_INTRODUCTIONS = "मैं|मेरा नाम|मरीज़|मरीज|रोगी|धारक|श्री|श्रीमती|सुश्री|कुमारी|डॉ\\.?|ग्राहक|यात्री|प्राप्तकर्ता|नाम"
_INDIC_WORDS = frozenset(
    [
        "है",
        "हूँ",
        "हूं",
        "का",
        "की",
        "के",
        "को",
        "से",
        "पर",
        "में",
        "और",
        "ने",
        "तो",
        "भी",
        "नहीं",
        "अपना",
        "अपने",
        "एक",
        "यह",
        "वह",
        "बहुत",
        "अभी",
        "आज",
        "कल",
        "फिर",
        "बोल",
        "चाहता",
        "चाहती",
        "आपका",
    ]
)
_INDIC_SURNAMES = frozenset(
    ["शर्मा", "वर्मा", "गुप्ता", "सिंह", "कुमार", "यादव", "मिश्रा", "मिश्र", "पांडे", "पाण्डेय", "तिवारी", "त्रिपाठी", "चतुर्वेदी", "द्विवेदी", "शुक्ला", "जोशी", "पाठक", "दुबे", "अग्रवाल", "जैन", "गोयल", "बंसल", "मित्तल", "मेहता", "शाह", "पटेल", "देसाई", "चौधरी", "चौहान", "राठौड़", "राठौर", "ठाकुर", "राजपूत", "भटनागर", "सक्सेना", "श्रीवास्तव", "माथुर", "कपूर", "खन्ना", "मल्होत्रा", "चोपड़ा", "अरोड़ा", "भाटिया", "सेठी", "आहूजा", "गिल", "ढिल्लों", "सिद्धू", "कौर", "नायर", "मेनन", "अय्यर", "रेड्डी", "राव", "नायडू", "पिल्लई", "बनर्जी", "मुखर्जी", "चटर्जी", "घोष", "बोस", "दास", "सेन", "दत्ता", "रॉय", "खान", "अंसारी", "शेख", "कुरैशी", "सिद्दीकी", "अहमद", "हुसैन", "अली", "बेगम", "देवी", "कुमारी", "पवार", "शिंदे", "जाधव", "देशमुख", "कुलकर्णी", "पाटिल", "गायकवाड़"]
)  # fmt: skip


def _holds_a_name(text: str) -> bool:
    return any(is_only_name(word) for word in text.split())


def _is_upper_name(text: str) -> bool:
    words = text.split()
    return len(words) <= 3 and is_only_name(words[0]) and all(len(word) > 2 for word in words)


def _is_indic_name(text: str) -> bool:
    words = text.split()
    return not any(word in _INDIC_WORDS for word in words)


def _is_sure_indic_name(text: str) -> bool:
    first, last = text.split()[:2]
    return last in _INDIC_SURNAMES and first not in _INDIC_WORDS


def _is_sure_arabic_name(text: str) -> bool:
    words = text.split()
    first = words[0].lstrip("ل") if words[0] not in native_names("ar_AA") else words[0]
    known = native_names("ar_AA")
    return first in known and (
        words[-1] in known
        or words[-1].removeprefix("ال") in known
        or bool(re.fullmatch(r"ال\w+ي", words[-1]))
    )


def _is_addressed_arabic_name(text: str) -> bool:
    words = text.split()
    return words[0] in native_names("ar_AA") and words[-1].startswith("ال")


_FILE_WORDS = frozenset(
    [
        "final",
        "draft",
        "copy",
        "new",
        "old",
        "version",
        "front",
        "back",
        "signed",
        "scan",
        "scanned",
        "page",
        "template",
        "example",
        "sample",
        "test",
        "support",
        "team",
        "service",
        "center",
        "centre",
        "desk",
        "department",
        "group",
        "system",
        "admin",
        "unknown",
        "none",
        "null",
        "human",
        "customer",
    ]
)


def _is_no_phrase(text: str) -> bool:
    """True where no word is one of those that files, desks and systems are called by."""
    return not any(word.casefold() in _FILE_WORDS for word in re.split(r"[\s_-]+", text))


def _is_signature(text: str) -> bool:
    return not any(c.isdigit() for c in text) and not re.search(r"[:/@.]\S", text)


def _joined_words(words: tuple[str, ...]) -> str:
    return "|".join(
        re.escape(w).replace(r"\ ", r"[ \t]") for w in sorted(set(words), key=lambda w: (-len(w), w))
    )


_LATIN_NEEDS = beginnings(_INTRODUCTIONS)

LANGUAGE_NAME_RULES: tuple[Rule, ...] = (
    Rule("PERSON", re.compile(rf"[\"'<(]?(?<![\w-])(?i:by|who|user|author|owner|assignee|reviewer|reporter|contact|agent|rep|sender|requester|approver|person)[\"']?(?:\s?[:=]\s?|>)[\"']?(?P<v>{_NAME})(?=[\"'<,;)\s]|$)"), 0.7, ":|=|>", _is_no_phrase),
    Rule("PERSON", re.compile(rf"(?<=[a-z]_)(?:to|for|by|from|with|of)_(?P<v>[{UPPER}][{LOWER}]{{2,}}_[{UPPER}][{LOWER}]{{2,}})(?![{LOWER}])"), 0.7, "_"),
    Rule("PERSON", re.compile(r"(?<![A-Za-z])(?i:cv|resume|résumé|lebenslauf|curriculum|passport|pass|ausweis|scan|photo|foto|img|portrait|selfie|headshot|face|badge|contract|vertrag|payslip|certificate|diploma|letter|profile|license|licence|id)[_ -](?P<v>[^\W\d_]{3,20}[_-][^\W\d_]{3,20})(?=[\w-]*\.(?i:pdf|docx?|jpe?g|png|heic|tiff?|txt|odt|gif|webp)(?!\w))"), 0.7, ".pdf|.doc|.jp|.png|.heic|.tif|.txt|.odt|.gif|.webp", _is_no_phrase),
    Rule("PERSON", re.compile(rf"(?<!\w)(?:إلى|مع|من|عن|عند|لدى)[ ](?P<v>{_ARABIC_NAME})(?!\w)"), 0.6, "~@arabic", _is_addressed_arabic_name),
    Rule("PERSON", re.compile(rf"(?<!\w)(?i:{_joined_words(_INTRODUCTIONS)})[ \t]*[:,]?[ \t]+(?:(?:{_HONORIFICS})\.?[ \t]+)?(?P<v>{_NAME})(?!\w)"), 0.7, _LATIN_NEEDS, is_person_like),
    Rule("PERSON", re.compile(rf"(?<![\w.])(?:{_HONORIFICS})\.?[ \t]+(?P<v>{_WORD}(?:[ \t]+(?:{_PARTICLE}[ \t]+)?{_WORD}){{0,2}})(?!\w)"), 0.65, "", _holds_a_name),
    Rule("PERSON", re.compile(rf"(?<!\w)(?i:{_PREPOSITIONS})[ \t:]+(?P<v>{_NAME})(?!\w)"), 0.45, "", _holds_a_name),
    Rule("PERSON", re.compile(rf":[ \t]+(?P<v>{_NAME})(?=,[ \t])"), 0.45, ":", _holds_a_name),
    Rule("PERSON", re.compile(rf"(?<![\w.])(?P<v>{_NAME})[ \t]+(?:here\b|speaking\b|am Apparat|à l'appareil|al habla|konuşuyor)"), 0.75, "here|speaking|apparat|appareil|habla|konuş"),
    Rule("PERSON", re.compile(rf"(?<!\w)(?i:spoke|talked|met|speak|call|called|asked|told)[ \t]+(?:with|to)?[ \t]*(?P<v>[{UPPER}]\.[ \t]?[{UPPER}][{LOWER}]{{2,}}(?:-[{UPPER}][{LOWER}]+)?)"), 0.75, ". "),
    Rule("PERSON", re.compile(rf"(?<!\w)(?P<v>{_UPPER_NAME})(?!\w)"), 0.6, "", _is_upper_name),
    Rule("PERSON", re.compile(rf"(?im:^\s*(?:{_SIGN_OFFS})[\s,.!،।。]*\n)[ \t]*(?P<v>[^\W\d_][^\n\d<>|@:]{{1,40}}?)[ \t]*$", re.MULTILINE), 0.8, "\n", _is_signature),
    Rule("PERSON", re.compile(rf"(?:{_HAN_INTRODUCTIONS})[ :：“\"]{{0,2}}(?P<v>{_HAN_NAME})(?=[^\u4e00-\u9fff]|先生|女士|小姐|您|的|在|来|$)"), 0.65, "~@han"),
    Rule("PERSON", re.compile(rf"(?P<v>{_HAN_NAME})(?=先生|女士|小姐|老师|医生|经理)"), 0.7, "~@han"),
    Rule("PERSON", re.compile(rf"(?<![\u4e00-\u9fff])(?P<v>(?:{_JAPANESE_SURNAMES})(?:{_HAN}|[\u3040-\u309f\u30a0-\u30ff]){{1,3}}?)(?=様|さん|氏|殿|君|です|と申|の|、|，|,|。|\s|$)"), 0.65, "~@han"),
    Rule("PERSON", re.compile(r"(?P<v>[\u4e00-\u9fff々]{2,5})(?=様|さん(?!々)|氏(?!名)|殿)"), 0.65, "~@han", lambda t: t[-1] not in "客皆奥父母"),
    Rule("PERSON", re.compile(r"(?:患者|名義|名前は|氏名は|氏名|担当者?|差出人|受取人|宛先)[ :：は]{0,2}(?P<v>[\u4e00-\u9fff々]{2,5}|[\u30a0-\u30ff]{2,8}[ ・][\u30a0-\u30ff]{2,8})(?=[、。,\s」]|です|$)"), 0.65, "~@han"),
    Rule("PERSON", re.compile(r"(?P<v>[\uac00-\ud7a3]{2,4})(?=님|씨)"), 0.65, "~@hangul"),
    Rule("PERSON", re.compile(rf"(?<!\w)(?:{_ARABIC_INTRODUCTIONS})[ :]{{1,2}}(?P<v>{_ARABIC_NAME})"), 0.65, "~@arabic"),
    Rule("PERSON", re.compile(rf"(?<!\w)(?=(?P<v>{_ARABIC_NAME})(?!\w))"), 0.6, "~@arabic", _is_sure_arabic_name),
    Rule("PERSON", re.compile(rf"(?<!\w)(?:{_INDIC_INTRODUCTIONS})[ :]{{1,2}}(?P<v>{_INDIC_NAME})"), 0.65, "~@indic", _is_indic_name),
    Rule("PERSON", re.compile(rf"(?<![\w{MARKS}])(?=(?P<v>{_INDIC_NAME})(?![\w{MARKS}]))"), 0.7, "~@indic", _is_sure_indic_name),
    Rule("PERSON", re.compile(r"(?i:https?://|www\.|\b)[\w.-]*/(?i:people|users?|u|in|profiles?|customers?|clients?|patients?|members?|contacts?|employees?|authors?|staff|team|accounts?|by)/(?P<v>[a-z][a-z'.-]*[-_.+][a-z][a-z'.+_-]*[a-z])(?![\w@])"), 0.75, "/"),
    Rule("USERNAME", re.compile(r"(?i:(?:linkedin|github|gitlab|twitter|x|instagram|facebook|tiktok|t|vk|weibo|medium|reddit)\.(?:com|me|net))/(?:in/|u/|user/|@)?(?P<v>[\w.-]{3,40}(?<![.]))"), 0.8, ".com/|.me/|.net/"),
    Rule("USERNAME", re.compile(r"(?<=[\w:,;(] )@(?P<v>[a-z]\w{2,14}_\w{2,20}|[A-Z][a-z]+[A-Z][a-z]+\w*|[a-z]{3,20}\d{2,6})(?![\w(@/])"), 0.75, "@"),
    Rule("USERNAME", re.compile(r"(?i:\b(?:dm|follow|tag|message|ping|mention)(?: me| us)?(?: (?:at|on|as))?)[ \t]+@(?P<v>[\w.]{3,30}(?<![.]))"), 0.8, "@"),
    Rule("PERSON", re.compile(r"[?&](?i:q|query|search|name|who|user|author|assignee|customer|owner)=(?P<v>[A-Z][a-z'’-]+(?:[+ ]|%20)[A-Z][A-Za-z'’+-]*)"), 0.7, "?|&"),
)  # fmt: skip
"""In the order in which they are tried."""

_IDENTIFIER = re.compile(r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ'’]*(?:[_.-][A-Za-zÀ-ɏ]+)*")
MAX_HANDLE = 60
_HANDLE = re.compile(r"(?<![\w.])@\w+")
_PARTS = re.compile(rf"[{UPPER}]?[{LOWER}]+|[{UPPER}]+(?![{LOWER}])")


def names_in_identifiers(text: str) -> list[tuple[int, int]]:
    """[start, end) of names inside of identifiers and file names: CV_Ann_Lee_2024.pdf, fix/AnnLeeLogin, #AnnLee.

    Two parts next to each other where the first is a name and hardly anything else, and the second is capitalised as
    well or a name. The parts are kept in one span, with the mark between them.
    """
    out: list[tuple[int, int]] = []
    for match in _IDENTIFIER.finditer(text):
        word = match.group()
        if len(word) < 6 or not (
            "_" in word
            or "-" in word
            or "." in word
            or not (word.istitle() or word.islower() or word.isupper())
        ):
            continue
        parts = list(_PARTS.finditer(word))
        for one, other in pairwise(parts):
            if other.start() - one.end() > 1 or len(one.group()) < 3 or len(other.group()) < 3:
                continue
            if is_only_name(one.group()) and is_name(other.group()):
                out.append((match.start() + one.start(), match.start() + other.end()))
                break
    return out


def whole_handle(text: str, at: int) -> tuple[int, int] | None:
    """[start, end) of the handle (@AnnLee77, without its @) that a place in a text is in; None: it is in none."""
    for match in _HANDLE.finditer(text, max(0, at - MAX_HANDLE), at + MAX_HANDLE):
        if match.start() < at < match.end():
            return match.start() + 1, match.end()
    return None
