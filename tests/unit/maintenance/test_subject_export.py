"""What is stored of one person, for that person."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from deputize.core.errors import AccessDenied, BadInput
from deputize.gateway.conversations import Conversation
from deputize.home import Home
from deputize.maintenance.lineage import copies_with_erased
from deputize.maintenance.subject_export import export_subject
from deputize.store.access.roles import Actor
from deputize.testing import call

OFFICER = Actor(name="eve", role="erasure_officer", tenant="shop")


def test_one_person_gets_their_own_calls_and_nobody_elses(tmp_path: Path) -> None:
    out = tmp_path / "mia.json"
    with Home(tmp_path / "home", environ={}) as home:
        mia = home.keyring.pseudonym("mia", "shop")
        home.store.append(
            [
                call("m1", tenant="shop", origin=mia, episode="run-1", timestamp=2.0),
                call("m2", tenant="shop", episode="run-1", timestamp=3.0),
                call("n1", tenant="shop", origin=home.keyring.pseudonym("nora", "shop"), episode="run-1"),
                call("b1", tenant="bank", origin=home.keyring.pseudonym("mia", "bank")),
            ]
        )
        kept = home.conversations()
        data = msgspec.json.encode(Conversation(messages=[{"role": "user", "content": "hi"}], origins=[mia]))
        kept.put("shop", "o_other", "resp_1", data)
        kept.close()
        found = export_subject(home, OFFICER, "mia", out, tenant="shop")
        assert [one["id"] for one in found.calls] == ["m1", "m2"] and len(found.conversations) == 1
        written = json.loads(out.read_text())
        assert [one["id"] for one in written["calls"]] == ["m1", "m2"] and out.stat().st_mode & 0o077 == 0
        (entry,) = [e for e in home.audit.entries() if e.action == "export.subject"]
        assert (entry.subject, entry.tenant, entry.actor) == (mia, "shop", "eve")
        home.store.erase(mia, tenant="shop")
        (copy,) = copies_with_erased(home)
        assert copy.path == str(out) and "m1" in copy.call_ids, "an erasure names the file"
        with pytest.raises(BadInput):
            export_subject(home, OFFICER, "mia", out, tenant="shop")  # the file is there


@pytest.mark.parametrize(
    "actor", [Actor(name="c", role="curator"), Actor(name="e", role="erasure_officer", tenant="bank")]
)
def test_others_may_not_and_that_is_an_entry(tmp_path: Path, actor: Actor) -> None:
    with Home(tmp_path / "home", environ={}) as home:
        with pytest.raises(AccessDenied):
            export_subject(home, actor, "mia", tmp_path / "out", tenant="shop")
        assert [e.action for e in home.audit.entries()][-1] == "denied" and not (tmp_path / "out").exists()
