"""The texts of simulated customers: phrases with alternatives, typing errors, and the parts around them.

Knows nothing of tickets or models. `{a|b|c}` is a choice (nested ones too), `<slot>` a place that is filled later, so
that slips never touch an order number.
"""

from __future__ import annotations

import random
import re


def _table(text: str, separator: str | None) -> tuple[str, ...]:
    """The entries of a table that is written as text; None separates at white space."""
    return tuple(entry.strip() for entry in text.split(separator))


PROBLEMS: dict[str, tuple[str, ...]] = {
    "refund_request": (
        "I {want|would like|'d like} a refund for the <product>, {it is not what I expected|I have no use for it}.",
        "{Please|Kindly} refund the <product>, {we changed our minds|it is not for us}.",
        "The <product> {does not suit us|is not for me}, {so please refund what I paid|I want my money back}.",
        "{How|In what way} do I get {my money|a refund} back for the <product>?",
        "I {returned|sent back} the <product> {last week|some days ago} and {still wait for|have not seen} the refund.",
        "{Can|Could} you refund {the <product>|me for the <product>}? I want my money back.",
    ),
    "damaged_item": (
        "The <product> {arrived|came|reached me} {broken|damaged}.",
        "{When I opened the box|On unpacking}, the <product> {was broken|was damaged}{, with a crack in it|}.",
        "{My|The} <product> is damaged: {a broken corner|scratched all over|a bent frame}.",
        "{There is|I found} {broken glass|a broken part} on the <product> {you delivered|I received}.",
        "The box was {crushed|torn} and the <product> inside is {damaged|broken}; I {need a replacement|want an intact one}.",
        "You sent me a {damaged|broken} <product>, {please exchange it|I would like a replacement}.",
    ),
    "late_delivery": (
        "{Where|Where on earth} is my parcel with the <product>? It {should have arrived|was due} {days ago|last week}.",
        "The <product> {has not arrived|has still not arrived}{, no parcel so far|}.",
        "I am {still waiting|waiting in vain} for the {parcel|delivery} with the <product>.",
        "{Tracking|The tracking page} {has not moved|shows nothing new} for days, and no parcel with the <product> arrived.",
        "Your {courier|driver} {did not come|never showed up} with the <product>; {when will the parcel arrive|where is the parcel}?",
        "The parcel with the <product> seems {lost|stuck somewhere}; tracking {has not moved|says nothing}.",
    ),
    "account_access": (
        "I {cannot|can't} log in to my account{ any more|}, {so I cannot see my <product> order|which is where my <product> order is}.",
        "My password {is not accepted|does not work|was rejected} when I log in to look at the order of the <product>.",
        "I am locked out of my account {since I ordered the <product>|and cannot follow the <product>}; the password fails.",
        "{The login page|Your site} {keeps saying wrong password|rejects my password}; I only wanted to check on the <product>.",
        "I {forgot|lost} my password and {need a new one|must reset it} to log in and see the <product> I bought.",
        "{Resetting|To reset} my password {fails|does not work}, so I cannot log in to my account; it is about the <product>.",
    ),
    "invoice_copy": (
        "{Please send me|I need|Could I get} {a copy of the invoice|the invoice|an invoice} for the <product>.",
        "My {accountant|tax office|employer} {asks for|wants} the invoice of the <product>.",
        "I {lost|cannot find} the invoice for the <product>, {could you send a copy|a PDF copy would do}.",
        "{There was|I found} no invoice in the box with the <product>, {please send a copy|I need one}.",
        "For {our books|my tax return} I {require|need} a proper invoice with VAT for the <product>.",
        "{Can|Would} you {mail|send} me {the invoice|a copy of the invoice} for the <product>?",
    ),
    "product_question": (
        "{How do I|How can I} {assemble|mount} the <product>? The manual {is no help|leaves it out}.",
        "{A question|I have a question}: {is|would} the <product> {be suitable|suitable} for {outdoor use|a small child|a damp room}?",
        "{A question|One question}: {which|what} {bulb|battery|spare part} {fits|do I need for} the <product>?",
        "{Question|My question}: {does|can} the <product> {go in the dishwasher|carry more than 40 kilos}?",
        "I do not understand the manual of the <product>: {how is it switched on|how do I assemble it}?",
        "The manual of the <product> {does not say|leaves out} {how to connect it|how to assemble it}.",
    ),
}

URGENCY: dict[str, tuple[str, ...]] = {
    "high": (
        "{This is urgent|It is urgent|This is really urgent}.",
        "{This is urgent, I|It is urgent, I} need {an answer|this solved} {today|right now}.",
        "{Urgent, please|Very urgent}: {I leave tomorrow|we have guests tonight}.",
        "{Please hurry|Hurry, please}, it is urgent.",
        "It is urgent and {cannot|can't} wait.",
    ),
    "normal": (
        "There is no hurry.",
        "{No hurry|No hurry at all}, {whenever|when} you {find the time|have a moment}.",
        "There is no hurry, {next week is fine|take your time}.",
        "{No hurry on my side|No hurry}, {it can wait a little|tomorrow or later is fine}.",
    ),
}
URGENT_MARKS = {"high": ("urgent: ", "Urgent! ", "URGENT ", ""), "normal": ("", "", "no hurry: ")}
"""Marks before the subject."""

SUBJECTS: dict[str, tuple[str, ...]] = {
    "refund_request": ("refund", "refund please", "refund for <order_id>", "my refund", "money back, refund"),
    "damaged_item": ("damaged item", "broken item", "<product> damaged", "damaged: <product>", "item broken"),
    "late_delivery": (
        "parcel not here",
        "where is my parcel",
        "parcel <order_id>",
        "delivery of my parcel",
        "parcel missing",
    ),
    "account_access": (
        "cannot log in",
        "password",
        "log in problem",
        "password problem",
        "my account password",
    ),
    "invoice_copy": (
        "invoice",
        "invoice for <order_id>",
        "invoice copy",
        "copy of invoice",
        "missing invoice",
    ),
    "product_question": (
        "question",
        "question about <product>",
        "a question",
        "manual of <product>",
        "question, manual",
    ),
}
"""Subjects of letters; some letters have none."""

GREETINGS = (
    "Hello,",
    "Hi there,",
    "Good morning,",
    "Dear team,",
    "Hi,",
    "To whom it may concern,",
    "Good evening,",
    "",
    "",
)

ASIDES = (
    "",
    "",
    "",
    "I have been {a customer|buying from you} for {three|six|ten} years.",
    "My {wife|husband|neighbour|sister} {recommended you|orders from you too}.",
    "The {colour|design} is lovely, by the way.",
    "I {tried to call|called} but {nobody answered|only got music}.",
    "{It was|This was} meant {as a present|for our new flat}.",
    "We {just moved|moved house} {in spring|last month}.",
)

REFERENCES = (
    "{My order|The order} is <order_id>, {placed|made} on <issue_date>.",
    "Order {number|no.} <order_id>, dated <issue_date>.",
    "I ordered it on <issue_date> {under|with} the number <order_id>.",
    "{Reference|Ref}: <order_id>, {bought|ordered} <issue_date>.",
    "It was {bought|ordered} <issue_date>; your confirmation says <order_id>.",
    "<order_id> is {the order number|what the confirmation says}, <issue_date> {the date|the day of purchase}.",
)

CONTACTS = (
    "You {reach|can reach} me at <email>{ or <phone>|}.",
    "My {e-mail|mail address} is <email>.",
    "{Write|Please write} to <email>, {my phone is <phone>|or call <phone>}.",
    "Contact: <email>.",
)

CONTACTS_WITHOUT_MAIL = ("My {phone|number} is <phone>.", "{Please call|Call me on} <phone>.")

CARDS = ("I paid with card <card>.", "The card I used is <card>.")

ANSWERS: dict[str, tuple[str, ...]] = {
    "solved": (
        "{Thanks|Thank you|Great}, {all is fine now|that settles it|everything works now}.",
        "{Perfect|Wonderful}, {that was quick|I am happy with that}{, thanks|}.",
        "{Yes|OK}, {that is sorted|this is settled} now{, many thanks|}.",
        "That {helped|did it}, {no more questions|thank you}.",
        "{Very good|Lovely}, {you can close this|nothing else from my side}.",
    ),
    "open": (
        "{Sorry, but|No,} {it still does not work|nothing has changed}.",
        "{I am still waiting|Still nothing here}{, nothing came so far|}.",
        "{That did not help|This does not solve it}, {please look again|can you try again}.",
        "The {problem|trouble} is {still there|back again}.",
        "{No|Hm}, {that was not my question|you misunderstood me}.",
    ),
    "call": (
        "{Can|Could} {somebody|a person} {ring me|phone me}{ tomorrow| in the evening|}?",
        "{I would rather talk to somebody|Please let me speak to a person}{, by phone if possible|}.",
        "{Too complicated to write|That is hard to explain in writing}, {please phone me|give me a ring}.",
        "{My phone is on all day|I am at home after five}, {please ring|just ring me}.",
    ),
    "complaint": (
        "{This is a disgrace|What a disgrace}, {never again|I will never buy here again}.",
        "{I am really angry|This is outrageous}{, I want your manager|}.",
        "{Worst service ever|Terrible service}, {I shall complain|I am going to complain about you}.",
        "{Unbelievable|I have had enough}, {I want to complain|my lawyer will write to you}.",
    ),
}
"""Answers of customers to the help desk's reply, by what is to be done next."""

SIGN_OFFS = ("{Regards|Kind regards|Best},\n<name>", "{Thanks|Thank you},\n<name>", "<name>", "Yours, <name>")

FIRST_NAMES = _table(
    """
    Maria James Aisha Lukas Chloe Mateo Ingrid Daniel Priya Hannah Tomasz Grace Olivia Samuel Yusuf
    Elena Victor Naomi Peter Amelia Karim Julia Oscar Fiona Martin Sofia Leon Ruth Andre Clara Hugo
    Irene Marcus Nadia Simon Teresa
    """,
    None,
)
LAST_NAMES = _table(
    """
    Keller Okafor Lindqvist Moreau Sharma Novak Bennett Haddad Fischer Romano Walsh Petrov Alvarez
    Jensen Tanaka Hughes Schneider Costa Murphy Kowalski Andersen Reyes Dubois Marino Whitfield
    Steiner Larsson Osei Grant Holloway Vogel Sinclair
    """,
    None,
)
LINES = _table(
    """
    Alder Birch Cobalt Dune Ember Fjord Granite Harbour Indigo Juniper Kelp Larch Meadow Nimbus
    Ochre Pebble Quartz Russet Saffron Tundra Umber Velvet Willow Zephyr
    """,
    None,
)
KINDS = _table(
    """
    desk lamp, floor lamp, bookshelf, office chair, coffee table, wall clock, bed frame, armchair,
    dining table, side table, wardrobe, mirror, rug, kettle, toaster, coffee maker, blender, fan,
    heater, vacuum cleaner, towel rack, bathroom shelf, garden bench, parasol, flower stand,
    bar stool, chest of drawers, shoe rack, sofa bed, high chair
    """,
    ",",
)
MAIL_HOSTS = ("example.com", "example.org", "example.net")

_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<[a-z_]+>")


def spin(text: str, rng: random.Random) -> str:
    """The phrase with every `{a|b}` replaced by one of its alternatives, inner ones first."""
    while match := _CHOICE.search(text):
        text = text[: match.start()] + rng.choice(match.group(1).split("|")) + text[match.end() :]
    return text


def slip(text: str, rng: random.Random, rate: float) -> str:
    """The phrase with slips of the keyboard in some words; `<slots>` and short words are left alone.

    Args:
        rate: chance that a word of four letters or more gets one slip.
    """
    return " ".join(
        _slip_word(word, rng) if _may_slip(word) and rng.random() < rate else word for word in text.split(" ")
    )


def _may_slip(word: str) -> bool:
    return len(word) >= 4 and word.isalpha() and not _SLOT.search(word)


def _slip_word(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 2)
    how = rng.randrange(3)
    if how == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how == 1:
        return word[:at] + word[at + 1 :]
    return word[:at] + word[at] + word[at:]


def fill(text: str, slots: dict[str, str]) -> str:
    """The text with its `<slots>` replaced; a slot that is not given stays as it is."""
    return _SLOT.sub(lambda m: slots.get(m.group()[1:-1], m.group()), text)


def letter(
    intent: str, urgency: str, slots: dict[str, str], rng: random.Random, *, with_mail: bool, with_card: bool
) -> str:
    """One customer's message: greeting, problem, asides, reference, urgency, contact and name, in a varying order.

    Args:
        slots: product, order_id, issue_date, email, phone, card, name.
        with_mail: whether the e-mail address is written in the text.
        with_card: whether the customer gives away a card number.
    """
    problem = rng.choice(PROBLEMS[intent])
    middle = [rng.choice(REFERENCES), rng.choice(ASIDES), rng.choice(URGENCY[urgency])]
    rng.shuffle(middle)
    contact = rng.choice(CONTACTS if with_mail else CONTACTS_WITHOUT_MAIL)
    sentences = [rng.choice(GREETINGS), problem, *middle, contact]
    if with_card:
        sentences.insert(rng.randrange(2, len(sentences)), rng.choice(CARDS))
    rate = rng.choice((0.0, 0.0, 0.0, 0.03))
    body = " ".join(s for s in (slip(spin(sentence, rng), rng, rate) for sentence in sentences) if s)
    if rng.random() < 0.12:
        # slots are still in angle brackets, so order numbers and addresses keep their case
        body = body.lower()
    subject = (
        "Subject: " + rng.choice(URGENT_MARKS[urgency]) + slip(rng.choice(SUBJECTS[intent]), rng, rate) + "\n"
        if rng.random() < 0.9
        else ""
    )
    return fill(subject + body + "\n" + spin(rng.choice(SIGN_OFFS), rng), slots)
