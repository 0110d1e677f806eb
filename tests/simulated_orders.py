"""A SIMULATED agent that prices orders, and the simulated LLM behind it: totals are computed, codes stand in a price
list."""

from __future__ import annotations

import json
import random
from typing import Any

from deputize.core.records import Call, Contract, Field

PRODUCTS = {
    f"{colour} {thing}": f"{thing[:2].upper()}{100 + 7 * n}-{colour[:2].upper()}"
    for n, (colour, thing) in enumerate(
        (colour, thing)
        for colour in ["blue", "green", "white", "black", "yellow", "red", "grey", "brown", "pink", "violet"]
        for thing in [
            "mug",
            "plate",
            "teapot",
            "bowl",
            "vase",
            "jug",
            "tray",
            "cup",
            "saucer",
            "pan",
            "ladle",
            "kettle",
        ]
    )
}
"""Name -> code, as in the price list of the shop."""
SYSTEM = "Price one line of an order. Reply as JSON with the code of the product and the total."
CONTRACT = Contract(kind="json", fields=[Field(name="code", type="value"), Field(name="total", type="value")])
_FORMS = (
    "Order {no} of {day} May: {n} x {product}, {price} each.",
    "{n} pieces of the {product} at {price} apiece please (order {no}, {day} May).",
    "On {day} May, order {no}: a {product} costs {price}, we take {n}.",
)


def order(index: int, *, fee: int = 0) -> tuple[str, dict[str, Any]]:
    """(what the customer wrote, the LLM's answer); with a fee that the text does not tell it is beyond arithmetic."""
    rng = random.Random(f"order {index}")
    n, cents, product = rng.randint(2, 40), rng.randint(150, 9_999), rng.choice(list(PRODUCTS))
    text = rng.choice(_FORMS).format(
        no=f"N-{rng.randrange(10_000, 99_999)}",
        day=rng.randint(1, 31),
        n=n,
        product=product,
        price=f"{cents / 100:.2f}",
    )
    total = round((n * cents + fee * rng.randint(1, 400)) / 100, 2)
    return text, {"code": PRODUCTS[product], "total": total}


def call_of(index: int, *, fee: int = 0) -> Call:
    """A call of the simulated agent, as it is logged."""
    text, answer = order(index, fee=fee)
    return Call(
        id=f"order-{index:05d}",
        timestamp=1_760_000_000.0 + 60 * index,
        model="simulated-llm",
        agent="pricing",
        site="price a line",
        episode=f"e{index}",
        origin=f"person-{index % 90}",
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
        response={"role": "assistant", "content": json.dumps(answer)},
        audience="code",
    )


def price_list() -> str:
    """The table of the shop, as CSV."""
    return "name,code\n" + "".join(f"{name},{code}\n" for name, code in PRODUCTS.items())
