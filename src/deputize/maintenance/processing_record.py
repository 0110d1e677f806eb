"""The record of processing activities of a home (GDPR, article 30), from its settings and from what it holds."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from deputize.core.config import Convert
from deputize.core.errors import BadInput
from deputize.core.records import Record
from deputize.home import Home

_SAID_BY_PEOPLE = ("controller", "contact", "purposes", "legal_basis", "transfers")
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
    """Hosts of the language models that calls are sent to."""
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
        recipients=_recipients(home.table("gateway")),
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


def _recipients(gateway: Any) -> list[str]:
    upstreams = gateway.get("upstreams", []) if isinstance(gateway, dict) else []
    hosts = {
        urlsplit(str(one.get("base_url", ""))).hostname or "" for one in upstreams if isinstance(one, dict)
    }
    return sorted(hosts - {""})


def as_markdown(record: ProcessingRecord) -> str:
    """The record for a reader."""
    lines = ["# Record of processing activities", ""]
    for name, value in msgspec.to_builtins(record).items():
        lines.append(f"- **{name.replace('_', ' ')}**: {_in_words(value)}")
    return "\n".join(lines) + "\n"


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {days:g} days" for name, days in value.items()) or "kept for good"
    return str(value)
