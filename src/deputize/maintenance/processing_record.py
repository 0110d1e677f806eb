"""The record of processing activities of a home (GDPR, article 30), from its settings and from what it holds."""

from __future__ import annotations

import contextlib
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from deputize.core.config import Convert, StoreSettings
from deputize.core.errors import BadInput
from deputize.core.records import Record
from deputize.core.terminal_text import plain_line
from deputize.home import Home

_SAID_BY_PEOPLE = ("controller", "contact", "purposes", "legal_basis", "transfers")
_MARKS = re.compile(r"[\\`*_\[\]|]")
NOT_SAID = "not said: write it under [processing] in config.toml"


class ProcessingRecord(Record, frozen=True):
    """The processing of personal data in a home, and its safeguards."""

    controller: str = NOT_SAID
    contact: str = NOT_SAID
    """Of the controller, its representative or data protection officer."""
    purposes: str = NOT_SAID
    legal_basis: str = NOT_SAID
    transfers: str = NOT_SAID
    """To countries outside the GDPR, and what they rest on."""
    people: str = "end users of the agents whose calls are recorded, and whoever those mention"
    data: str = (
        "requests to language models and their answers, as they were sent; who asked, as a keyed pseudonym"
    )
    tenants: list[str] = msgspec.field(default_factory=list)
    n_calls: int = 0
    recipients: list[str] = msgspec.field(default_factory=list)
    """Hosts that get something of the calls by config.toml: of the language models that they are sent to, and others
    with what they get. An upstream that only a command line names is not known here."""
    retention: dict[str, float] = msgspec.field(default_factory=dict)
    """Tenant ("*": all others) -> days."""
    detectors: list[str] = msgspec.field(default_factory=list)
    """Detectors of personal data besides the standard ones."""
    level: str = ""
    """Of de-identification."""
    min_origins: int = 0
    shared_across_tenants: bool = False
    security: list[str] = msgspec.field(default_factory=list)


def processing_record(home: Home) -> ProcessingRecord:
    """The record as of now.

    Raises:
        BadInput: config.toml cannot be used.
        StoreError: there is no home.
    """
    said = home.table("processing")
    unknown = sorted(set(said) - set(_SAID_BY_PEOPLE)) if isinstance(said, dict) else ["a table"]
    if unknown or not all(isinstance(value, str) for value in said.values()):
        raise BadInput(
            f"{home.config_path}, [processing]: {', '.join(unknown) or 'a value'} is not known; it takes texts for "
            f"{', '.join(_SAID_BY_PEOPLE)}."
        )
    keyring = home.require_keys()
    home.note_keys_used()  # before the store is opened, which makes one where there is none
    with contextlib.closing(home.open_store_for_writing()) as store:  # no call is read
        tenants, n_calls = store.tenants(), store.count()
    convert = Convert.model_validate(home.table("convert"))
    return ProcessingRecord(
        **said,
        tenants=tenants,
        n_calls=n_calls,
        recipients=_recipients(home),
        retention=home.retention(),
        detectors=list(home.privacy().detectors),
        level=convert.privacy,
        min_origins=convert.min_origins,
        shared_across_tenants=convert.share_across_tenants,
        security=[
            "calls, feedback, conversations and the artifacts of runs are sealed with AES-256-GCM",
            f"the key-encryption key is held by {keyring.provider.key_id}",
            "a data key for each tenant, person and month; an erasure destroys it",
            "roles and tenants of API keys; an audit log that is chained and signed",
            "only what enough people share is in clear (min_origins)",
        ],
    )


def _recipients(home: Home) -> list[str]:
    gateway = home.table("gateway")
    gateway = gateway if isinstance(gateway, dict) else {}
    found = {_host(one.get("base_url")) for one in _tables(gateway.get("upstreams"))} - {""}
    otel, store = gateway.get("otel"), home.store_settings()
    otel = otel if isinstance(otel, dict) and otel.get("enabled") else None
    content = "prompts and answers too" if otel and otel.get("content") else "no texts"
    others = (
        (home.judge_settings().base_url, "judges answers, and sees requests and answers as they are"),
        (home.teacher_settings().base_url, "scores what specialists write, and sees de-identified prompts"),
        (home.privacy().paraphraser.get("base_url"), "rewords texts, de-identified but for what is reworded"),
        (store.options.get("url") if store.kind != "sqlite" else "", "stores calls, sealed"),
        (home.objects_settings().url, "stores routes, keys and runs, sealed"),
        (otel.get("endpoint") if otel else "", f"gets spans of calls, {content}"),
    )
    by_environment = [
        *(
            ["the database that the environment names (stores calls, sealed)"]
            * bool(_is_by_environment(store))
        ),
        *(
            [f"the receiver that the environment names (gets spans of calls, {content})"]
            * bool(otel and not otel.get("endpoint"))
        ),
    ]
    return [
        *sorted(found),
        *(f"{host} ({what})" for url, what in others if (host := _host(url))),
        *by_environment,
    ]


def _is_by_environment(store: StoreSettings) -> bool:
    return store.kind == "postgres" and not store.options.get("url")


def _tables(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _host(url: Any) -> str:
    """The host of an address; "" where it has none, as a file."""
    try:
        return urlsplit(str(url or "")).hostname or ""
    except ValueError:
        return ""


def as_markdown(record: ProcessingRecord) -> str:
    """The record for a reader."""
    lines = ["# Record of processing activities", ""]
    for name, value in msgspec.to_builtins(record).items():
        lines.append(f"- **{name.replace('_', ' ')}**: {_as_text(_in_words(value))}")
    return "\n".join(lines) + "\n"


def _as_text(text: str) -> str:
    """A text on one line, with no mark of Markdown or HTML in it: names of tenants are their callers'."""
    return _MARKS.sub(r"\\\g<0>", plain_line(" ".join(text.split()))).replace("<", "&lt;")


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {days:g} days" for name, days in value.items()) or "kept for good"
    return str(value)
