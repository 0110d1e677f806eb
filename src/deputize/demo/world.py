"""The simulated shop: tickets, customers, orders and what is true of them, each drawn from (seed, ticket number)."""

from __future__ import annotations

import datetime
import random
import re
from dataclasses import dataclass
from typing import Any, Literal

from deputize.demo import language

INTENTS = tuple(language.PROBLEMS)
FIRST_TICKET = 10_000

Mode = Literal["code", "model"]
"""The orchestrator of an episode: program code, or the language model (Belcak et al. 2025, Figure 1)."""

QUEUES = {
    "refund_request": "returns",
    "damaged_item": "returns",
    "late_delivery": "shipping",
    "account_access": "accounts",
    "invoice_copy": "billing",
    "product_question": "technical",
}

WINDOW = {
    True: (
        "delivered {3|5|8|11|14|19|22} days ago, return window open",
        "within the return period ({4|9|12|17|25} days since delivery)",
        "return window still open",
        "{6|10|15|21} days since delivery, inside the window",
    ),
    False: (
        "delivered {41|55|63|90} days ago, return window closed",
        "past the return period ({38|47|72} days since delivery)",
        "return window has closed",
        "{35|44|58|81} days since delivery, outside the window",
    ),
}
CONDITION = {
    True: (
        "unopened, original box",
        "opened but complete",
        "complete with all parts",
        "as delivered, all parts there",
    ),
    False: ("parts missing", "used and worn", "altered by the customer", "heavily worn, parts missing"),
}
STANDING = {
    True: (
        "account in good standing",
        "regular customer, no remarks",
        "good standing",
        "no remarks on the account",
    ),
    False: (
        "account flagged for fraud review",
        "flagged by the fraud team",
        "open fraud review",
        "payments reversed twice, flagged",
    ),
}

OUTCOMES = {"solved": 0.4, "open": 0.25, "call": 0.2, "complaint": 0.15}
"""What is to be done once the customer has answered the help desk's reply -> share of the cases."""


@dataclass(frozen=True)
class Ticket:
    """One customer's case, with what only the world knows of it (the labels)."""

    index: int
    number: str
    mode: Mode
    customer: str
    name: str
    email: str
    phone: str
    intent: str
    urgency: str
    product: str
    sku: str
    order_id: str
    issue_date: str
    amount: float
    gives_email: bool
    text: str
    facts: tuple[str, str, str]
    """Return window, item condition, customer standing, in words."""
    allowed: bool
    """True if the policy allows the case without a person: all three facts speak for it."""
    fails: bool
    """True if the back office fails in this episode, so that the episode ends without success."""
    outcome: str
    """One of OUTCOMES; never solved where the back office fails."""
    answered: str
    """The customer's answer to the help desk's reply."""

    def order(self) -> dict[str, Any]:
        """The order as the simulated order system returns it."""
        return {"order_id": self.order_id, "sku": self.sku, "amount": self.amount, "status": "delivered"}


def ticket(seed: int, index: int) -> Ticket:
    """The ticket with this index; the same for the same seed, whatever was drawn before."""
    rng = random.Random(f"helpdesk:{seed}:{index}")
    first, last = rng.choice(language.FIRST_NAMES), rng.choice(language.LAST_NAMES)
    email = f"{first}.{last}{rng.randrange(10, 99)}@{rng.choice(language.MAIL_HOSTS)}".lower()
    phone = f"+1 {rng.randrange(201, 989)}-555-{rng.randrange(100, 199):04d}"
    line, kind = rng.choice(language.LINES), rng.choice(language.KINDS)
    product = f"{line} {kind}"
    order_id = f"LH-{rng.randrange(10_000, 99_999)}"
    day = datetime.date(2026, 1, 5) + datetime.timedelta(days=rng.randrange(240))
    intent = rng.choice(INTENTS)
    urgency = "high" if rng.random() < 0.4 else "normal"
    gives_email = rng.random() < 0.85
    truths = tuple(rng.random() < 0.88 for _ in range(3))
    facts = tuple(
        language.spin(rng.choice(bank[truth]), rng)
        for bank, truth in zip((WINDOW, CONDITION, STANDING), truths, strict=True)
    )
    slots = {
        "product": product,
        "order_id": order_id,
        "issue_date": day.isoformat(),
        "email": email,
        "phone": phone,
        "card": card_number(rng),
        "name": f"{first} {last}",
    }
    text = language.letter(intent, urgency, slots, rng, with_mail=gives_email, with_card=rng.random() < 0.15)
    sku, amount = f"{line[:3].upper()}-{rng.randrange(100, 999)}", round(rng.uniform(9, 480), 2)
    fails = rng.random() < 0.08
    outcome, answered = _answer(seed, index, fails)
    return Ticket(
        index=index,
        number=f"T-{FIRST_TICKET + index}",
        mode="code" if index % 2 == 0 else "model",
        customer=f"customer-{rng.randrange(100_000, 999_999)}",
        name=slots["name"],
        email=email,
        phone=phone,
        intent=intent,
        urgency=urgency,
        product=product,
        sku=sku,
        order_id=order_id,
        issue_date=slots["issue_date"],
        amount=amount,
        gives_email=gives_email,
        text=text,
        facts=(facts[0], facts[1], facts[2]),
        allowed=all(truths),
        fails=fails,
        outcome=outcome,
        answered=answered,
    )


def _answer(seed: int, index: int, fails: bool) -> tuple[str, str]:
    """(what is to be done next, the words of the customer that say so)."""
    rng = random.Random(f"answer:{seed}:{index}")
    left = {name: share for name, share in OUTCOMES.items() if not (fails and name == "solved")}
    outcome = rng.choices([*left], [*left.values()])[0]
    return outcome, language.spin(rng.choice(language.ANSWERS[outcome]), rng)


_NUMBER = re.compile(r"\bT-(\d{5,7})\b")


def ticket_in(seed: int, text: str) -> Ticket | None:
    """The ticket whose number is in the text, or None."""
    match = _NUMBER.search(text)
    return ticket(seed, int(match.group(1)) - FIRST_TICKET) if match else None


def card_number(rng: random.Random) -> str:
    """A made-up card number of 16 digits with a valid check digit, from a test range."""
    digits = [4, 0, 0, 0, 0, 0] + [rng.randrange(10) for _ in range(9)]
    total = sum(d if i % 2 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits))
    digits.append(-total % 10)
    return " ".join("".join(map(str, digits[i : i + 4])) for i in range(0, 16, 4))
