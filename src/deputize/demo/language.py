"""How simulated customers write: phrases with alternatives, slips of the keyboard, and what stands around them.

Knows nothing of tickets or models. `{a|b|c}` is a choice (nested ones too), `<slot>` a place that is filled later, so
that slips never touch an order number.
"""

from __future__ import annotations

import random
import re

PROBLEMS: dict[str, tuple[str, ...]] = {
    "refund_request": (
        "I {want|would like|'d like} {my money back|a refund|to be refunded} for the <product>.",
        "{Please|Kindly} refund the <product>, {it is not what I expected|I have no use for it|we changed our minds}.",
        "The <product> {does not suit us|is not for me} and I am {sending|going to send} it back, {so please return what I paid|so I expect my money back}.",
        "{How|In what way} do I get {my money|the purchase price|what I paid} back for the <product>?",
        "I {returned|sent back} the <product> {last week|some days ago} and {still wait for|have not seen} the refund.",
        "{Can|Could} you {reimburse|refund} me for the <product>? {It turned out to be the wrong size|I found I do not need it}.",
        "{We|I} {decided|have decided} against the <product>; {please give us the money back|a refund would be fine}.",
    ),
    "damaged_item": (
        "The <product> {arrived|came|reached me} {broken|damaged|cracked|in pieces}.",
        "{When I opened the box|On unpacking}, the <product> {had a crack|was dented|was smashed}.",
        "{My|The} <product> {has a broken corner|is scratched all over|came with a bent frame}, {clearly from the transport|it must have been dropped}.",
        "{There is|I found} {a big scratch|a dent|broken glass} on the <product> {you delivered|I received}.",
        "The box was {crushed|torn} and the <product> inside is {damaged|broken}; I {need a replacement|want an intact one}.",
        "You sent me a {damaged|defective, cracked} <product>, {please exchange it|I would like a new one}.",
        "Half of the <product> is {shattered|broken off}, {this cannot be how it left your house|so I cannot use it}.",
    ),
    "late_delivery": (
        "{Where|Where on earth} is my <product>? It {should have been here|was due} {days ago|last week}.",
        "The <product> {has not arrived|is still not here|never turned up}.",
        "I am {still waiting|waiting in vain} for the {parcel|delivery} with the <product>.",
        "{Tracking|The tracking page} {has not moved|shows nothing new} for days, and I have no <product>.",
        "Your {courier|driver} {did not come|never showed up} with the <product>, {when will it be delivered|what is the delay}?",
        "The {shipment|parcel} of the <product> seems {lost|stuck somewhere}; {when does it arrive|has it been shipped at all}?",
        "{Delivery|Shipping} of the <product> was {promised|announced} for {Monday|last Friday} and {nothing came|no parcel so far}.",
    ),
    "account_access": (
        "I {cannot|can't} {log in|sign in} {any more|to my account}, {so I cannot see my <product> order|which is where my <product> order is}.",
        "My password {is not accepted|does not work|was rejected} when I want to look at the order of the <product>.",
        "I am {locked out|shut out} of my account {since I ordered the <product>|and cannot follow the <product>}.",
        "{The login page|Your site} {keeps saying wrong password|throws me out}; I only wanted to check on the <product>.",
        "I {forgot|lost} my password and {need a new one|must reset it} to see the <product> I bought.",
        "{Resetting|To reset} my password {fails|does not work}, no mail arrives, and my <product> order is behind that login.",
    ),
    "invoice_copy": (
        "{Please send me|I need|Could I get} {a copy of the invoice|the invoice|an invoice} for the <product>.",
        "My {accountant|tax office|employer} {asks for|wants} the {invoice|bill} of the <product>.",
        "I {lost|cannot find} the {receipt|invoice} for the <product>, {could you send it again|a PDF would do}.",
        "{There was|I found} no {invoice|bill} in the parcel with the <product>.",
        "For {our books|my tax return} I {require|need} a proper {invoice|bill} with VAT for the <product>.",
        "{Can|Would} you {mail|e-mail} me the {invoice|receipt} for the <product> {again|once more}?",
    ),
    "product_question": (
        "{How do I|How can I} {assemble|put together|mount} the <product>?",
        "{Is|Would} the <product> {be suitable|suitable} for {outdoor use|a small child|a damp room}?",
        "{Which|What} {bulb|battery|spare part} {fits|do I need for} the <product>?",
        "{Does|Can} the <product> {go in the dishwasher|work with a 110 volt plug|carry more than 40 kilos}?",
        "I {cannot work out|do not understand} {how the <product> is switched on|the manual of the <product>}, {can you explain|what do I do}?",
        "{What are the measurements|What is the weight} of the <product>, and {how do I clean it|which tools does it take}?",
        "The manual of the <product> {does not say|leaves out} {how to connect it|which screws go where}.",
    ),
}

URGENCY: dict[str, tuple[str, ...]] = {
    "high": (
        "{This is urgent|It is urgent}.",
        "I need {an answer|this solved} {today|right now|immediately}.",
        "{Please hurry|Hurry, please}, {I leave tomorrow|we have guests tonight}.",
        "{As soon as possible|At once}, please!",
        "It {cannot|can't} wait {any longer|another day}.",
        "I expect {a reply|your answer} within the hour.",
    ),
    "normal": ("", "", "", "Looking forward to {hearing from you|your answer}.", "Thank you for {your help|looking into it}."),
    "low": (
        "{No hurry|There is no hurry|No rush} {at all|on this}.",
        "{Whenever|When} you {find the time|have a moment}.",
        "It {can wait|is not pressing}, {next week is fine|take your time}.",
        "This is {not urgent|no emergency}, {just for the record|for when it is quiet}.",
        "Take your time{ with it|}.",
    ),
}

GREETINGS = ("Hello,", "Hi there,", "Good morning,", "Dear team,", "Hi,", "To whom it may concern,", "Good evening,", "", "")

ASIDES = (
    "", "", "",
    "I have been {a customer|buying from you} for {three|six|ten} years.",
    "My {wife|husband|neighbour|sister} {recommended you|orders from you too}.",
    "The {colour|design} is lovely, by the way.",
    "I {tried to call|called} but {nobody answered|only got music}.",
    "{It was|This was} meant {as a present|for our new flat}.",
    "We {just moved|moved house} {in spring|last month}.",
)  # fmt: skip

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

SIGN_OFFS = ("{Regards|Kind regards|Best},\n<name>", "{Thanks|Thank you},\n<name>", "<name>", "Yours, <name>")

FIRST_NAMES = (
    "Maria", "James", "Aisha", "Lukas", "Chloe", "Mateo", "Ingrid", "Daniel", "Priya", "Hannah", "Tomasz", "Grace",
    "Olivia", "Samuel", "Yusuf", "Elena", "Victor", "Naomi", "Peter", "Amelia", "Karim", "Julia", "Oscar", "Fiona",
    "Martin", "Sofia", "Leon", "Ruth", "Andre", "Clara", "Hugo", "Irene", "Marcus", "Nadia", "Simon", "Teresa",
)  # fmt: skip
LAST_NAMES = (
    "Keller", "Okafor", "Lindqvist", "Moreau", "Sharma", "Novak", "Bennett", "Haddad", "Fischer", "Romano", "Walsh",
    "Petrov", "Alvarez", "Jensen", "Tanaka", "Hughes", "Schneider", "Costa", "Murphy", "Kowalski", "Andersen", "Reyes",
    "Dubois", "Marino", "Whitfield", "Steiner", "Larsson", "Osei", "Grant", "Holloway", "Vogel", "Sinclair",
)  # fmt: skip
LINES = (
    "Alder", "Birch", "Cobalt", "Dune", "Ember", "Fjord", "Granite", "Harbour", "Indigo", "Juniper", "Kelp", "Larch",
    "Meadow", "Nimbus", "Ochre", "Pebble", "Quartz", "Russet", "Saffron", "Tundra", "Umber", "Velvet", "Willow", "Zephyr",
)  # fmt: skip
KINDS = (
    "desk lamp", "floor lamp", "bookshelf", "office chair", "coffee table", "wall clock", "bed frame", "armchair",
    "dining table", "side table", "wardrobe", "mirror", "rug", "kettle", "toaster", "coffee maker", "blender", "fan",
    "heater", "vacuum cleaner", "towel rack", "bathroom shelf", "garden bench", "parasol", "flower stand", "bar stool",
    "chest of drawers", "shoe rack", "sofa bed", "high chair",
)  # fmt: skip
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
    return " ".join(_slip_word(word, rng) if _may_slip(word) and rng.random() < rate else word for word in text.split(" "))


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


def letter(intent: str, urgency: str, slots: dict[str, str], rng: random.Random, *, with_mail: bool, with_card: bool) -> str:
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
    rate = rng.choice((0.0, 0.0, 0.02, 0.05))
    body = " ".join(s for s in (slip(spin(sentence, rng), rng, rate) for sentence in sentences) if s)
    if rng.random() < 0.12:
        # slots are still in angle brackets, so order numbers and addresses keep their case
        body = body.lower()
    return fill(body + "\n" + spin(rng.choice(SIGN_OFFS), rng), slots)
