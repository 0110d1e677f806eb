"""The language of a line, by script and function words."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import pytest

from deputize.privacy.languages import MEASURED, MEASURED_SETS, NAMES, OTHER_LATIN, language_of, name_of

LINES = {
    "en": "Please cancel the order that I made for my sister, it is not what we wanted.",
    "de": "Ich habe die Bestellung nicht bekommen und möchte das Geld von Ihnen zurück.",
    "fr": "Bonjour, je ne trouve pas la facture que vous avez envoyée pour le mois de mai.",
    "es": "Hola, no encuentro la factura que me enviaron por el pedido de mi madre.",
    "pt": "Olá, não encontrei a fatura que me enviaram para o pedido da minha mãe.",
    "pl": "Dzień dobry, nie mogę znaleźć faktury za zamówienie, które jest dla mojej mamy.",
    "tr": "Merhaba, annem için verdiğim sipariş ile ilgili fatura yok, çok bekledim ve gelmedi.",
    "it": "Buongiorno, non trovo la fattura che ho ricevuto per il mio ordine e sono in ritardo con una rata.",
    "nl": "Hallo, ik kan de factuur niet vinden die ik voor mijn moeder heb gekregen en dat is een probleem.",
    "no": "Hei, jeg har ikke fått fakturaen som dere sendte til min mor, og det er for sent nå.",
    "fi": "Hei, minä en löydä laskua, mutta tämä ei ole oikein ja se on minun syyni.",
    "id": "Halo, saya tidak menerima tagihan untuk pesanan ini dan saya akan menunggu dari tadi.",
    "ar": "مرحبا، لم أجد الفاتورة الخاصة بطلبي",
    "fa": "سلام، من فاکتور سفارش خود را پیدا نکردم",
    "hi": "मुझे अपने ऑर्डर का बिल नहीं मिला",
    "zh": "您好，我没有收到订单的发票",
    "ja": "こんにちは、注文の請求書が届いていません",
    "ko": "안녕하세요, 주문 영수증을 받지 못했습니다",
    "ru": "Здравствуйте, я не получил счёт за заказ",
    "uk": "Добрий день, я ще не отримав рахунок і чекаю її",
    "el": "Γεια σας, δεν έλαβα το τιμολόγιο",
    "he": "שלום, לא קיבלתי את החשבונית",
    "th": "สวัสดีค่ะ ฉันยังไม่ได้รับใบเสร็จ",
    OTHER_LATIN: "nĩndĩraathire mũgũnda wakwa rĩu tondũ mbura yoiraga mũno rũciinĩ gũkĩ nyũmba thutha ũcio twacokire",
}


@pytest.mark.parametrize("language", LINES)
def test_languages_are_told(language: str) -> None:
    assert language_of(LINES[language]) == language and name_of(language)


@pytest.mark.parametrize(
    "line",
    [
        "Kari Nordmann",
        "kari.nordmann@firma.no",
        "{'id': 17, 'state': 'open'}",
        "def find(self, number): return self.by_number.get(number)",
        "kettle, lamp, jacket, router, scooter, blender, tent, camera, speaker, chair, table, sofa, bed",
        "",
    ],
)
def test_what_is_too_short_or_no_prose_has_none(line: str) -> None:
    assert language_of(line) == ""


def test_english_with_a_few_foreign_words_stays_english() -> None:
    assert language_of("Order 17 of Kari i Bergen is late and we want the money back for it") == "en"
    assert language_of("Please book the room at Hotel Het Gouden van de Kroon for me and my wife") == "en"
    assert language_of("Please write to Пётр about the order that is on the way") == "en"


def test_one_word_again_and_again_is_one_word() -> None:
    assert language_of("book a table, a cab, a room, a flight") == ""


def test_the_measured_languages_are_known() -> None:
    assert all(name_of(one) != one for one in MEASURED)


def test_what_is_measured_was_measured_of_the_detectors_that_ship_and_stands_in_the_results() -> None:
    folder = resources.files("deputize.privacy.tagger.default")
    weights = b"".join(folder.joinpath(name).read_bytes() for name in ("weights.npz", "encoder.npz"))
    assert MEASURED_SETS["default_tagger"]["tagger_sha256"] == hashlib.sha256(weights).hexdigest()
    results = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
    text = results.partition("## Privacy: the default tagger on real text")[2]
    rows = [
        [cell.strip(" *") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    languages = rows[0][1:]
    for name, labels in [
        ("without_tagger", ("persons masked without it, %", "precision without it, %")),
        ("default_tagger", ("with it", "with it")),
    ]:
        found = MEASURED_SETS[name]["languages"]
        assert list(found) == languages and set(languages) <= NAMES.keys()
        at = [row[1:] for row in rows if row[0] in labels][:2]
        assert [str(found[one]["persons_masked"]) for one in languages] == at[0]
        assert [str(found[one]["persons_precision"]) for one in languages] == at[1]
    assert set(languages) == MEASURED
