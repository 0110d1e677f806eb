"""Asks once whatever a home relies on elsewhere: the hosts of its specialists, and the object store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Literal

from msgspec import field

from deputize.core.errors import DeputizeError
from deputize.core.records import Record, Route
from deputize.home import Home
from deputize.http.client import Http1Transport
from deputize.specialists.serving.host_messages import PURPOSE, HostQuestion
from deputize.specialists.serving.hosts_engine import addresses_of
from deputize.specialists.serving.remote_host import RemoteHost

WAIT_S = 5.0
"""For an object store that says nothing, such as a network file system that hangs."""


class HostLook(Record):
    """A host as it is now."""

    address: str
    state: Literal["answers", "not ready", "away"]
    """It takes questions; it is there, and loads its specialists, starts its worker again or ends; or it does not
    answer."""
    why: str = ""
    specialists: dict[str, str] = field(default_factory=dict)
    """Folder -> SHA-256 of the card, of what it serves."""


class Elsewhere(Record):
    """Hosts and object store of a home, as they are now."""

    hosts: list[HostLook]
    unserved: list[str]
    """Open routes whose specialist no host answers for in their version: the LLM answers their calls."""
    published: str
    """Why the pointer of `[objects]` cannot be used; "": it can, or nothing is shared."""


def look_elsewhere(home: Home, routes: Iterable[Route]) -> Elsewhere:
    """Asks every host and the object store once; nothing is changed here.

    Args:
        home: the home.
        routes: those that somebody wants to know about.

    Raises:
        BadInput, StoreError, Tampered: settings or keys of the home cannot be read.
    """
    hosts = asyncio.run(_hosts(home)) if home.serving_settings().hosts else []
    answering = [host for host in hosts if host.state == "answers"]
    unserved = [
        route.id
        for route in routes
        if hosts
        and route.state not in ("closed", "rolled_back")
        and not any(host.specialists.get(route.specialist) == route.card_sha256 for host in answering)
    ]
    return Elsewhere(hosts=hosts, unserved=unserved, published=why_not_published(home))


async def _hosts(home: Home) -> list[HostLook]:
    settings, secret = home.serving_settings(), home.keyring.derive(PURPOSE)
    transport = Http1Transport()

    async def of_address(address: str) -> list[HostLook]:
        try:
            found = sorted(await addresses_of(address))
        except (OSError, UnicodeError) as error:
            return [HostLook(address=address, state="away", why=f"The name leads nowhere: {error}")]
        return [await _look(RemoteHost(one, secret, transport), settings.check_timeout_s) for one in found]

    try:
        looks = await asyncio.gather(*(of_address(address) for address in settings.hosts))
    finally:
        await transport.close()
    return [one for several in looks for one in several]


async def _look(host: RemoteHost, timeout_s: float) -> HostLook:
    try:
        async with asyncio.timeout(timeout_s):
            state = (await host.ask(HostQuestion(sent_at=time.time()), timeout_s)).state
    except TimeoutError:
        return HostLook(address=host.address, state="away", why=f"It says nothing for {timeout_s:g} s.")
    except (DeputizeError, OSError) as error:
        return HostLook(address=host.address, state="away", why=str(error))
    if state is None:
        return HostLook(address=host.address, state="away", why="It does not say what it serves.")
    word: Literal["answers", "not ready"] = "answers" if state.is_ready else "not ready"
    return HostLook(address=host.address, state=word, specialists=state.specialists)


def why_not_published(home: Home) -> str:
    """The reason why the pointer of `[objects]` cannot be used, "" where it can or nothing is shared; within `WAIT_S`.

    Raises:
        BadInput, MissingExtra, Tampered: as Home.published.
    """
    published, found = home.published, list[str]()
    if published is None:
        return ""

    def read() -> None:
        try:
            published.state()
            found.append("")
        except DeputizeError as error:
            found.append(str(error))

    # a thread that nobody waits for at the end: a file system that hangs lets none go
    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(WAIT_S)
    return found[0] if found else f"{published.bucket.address} says nothing for {WAIT_S:g} s."
