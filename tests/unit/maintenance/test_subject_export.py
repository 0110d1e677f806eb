"""What is stored of one person, for that person."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from deputize.core.errors import AccessDenied, BadInput, UsageError
from deputize.core.records import Call
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
                call("n1", tenant="shop", origin=home.keyring.pseudonym("nora", "shop"), episode="run-2"),
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


def test_what_others_said_is_counted_and_left_out(tmp_path: Path) -> None:
    out = tmp_path / "mia.json"
    with Home(tmp_path / "home", environ={}) as home:
        mia, nora = (home.keyring.pseudonym(name, "shop") for name in ("mia", "nora"))
        home.store.append(
            [
                call("m1", "I am Mia", tenant="shop", origin=mia, episode="run-1", response_id="resp_1"),
                call(
                    "n1",
                    "Nora's secret",
                    tenant="shop",
                    origin=nora,
                    params={"previous_response_id": "resp_1"},
                ),
                call("n2", tenant="shop", origin=nora, episode="run-1"),
                call("u1", "of either of them", tenant="shop", episode="run-1"),
                call("u2", "nobody else", tenant="shop", episode="run-2"),
                call("m2", tenant="shop", origin=mia, episode="run-2"),
            ]
        )
        kept = home.conversations()
        for id, origins in (("resp_1", [mia]), ("resp_2", [mia, nora]), ("resp_3", [nora])):
            said = Conversation(messages=[{"role": "user", "content": f"in {id}"}], origins=origins)
            kept.put("shop", mia, id, msgspec.json.encode(said))
        kept.close()
        found = export_subject(home, OFFICER, "mia", out, tenant="shop")
    assert {one["id"] for one in found.calls} == {"m1", "m2", "u2"}
    assert [one["messages"][0]["content"] for one in found.conversations] == ["in resp_1"]
    assert found.n_shared == 3  # n1, u1 and resp_2; n2 is not hers at all
    assert "secret" not in out.read_text() and "resp_2" not in out.read_text()


def test_what_somebody_else_said_before_is_left_out_too(tmp_path: Path) -> None:
    """A call holds all that was said before it in its conversation."""

    def said(id: str, text: str, origin: str, earlier: str = "") -> Call:
        params = {"previous_response_id": earlier} if earlier else {}
        return call(id, text, tenant="shop", origin=origin, response_id=f"resp_{id}", params=params)

    with Home(tmp_path / "home", environ={}) as home:
        mia, nora = (home.keyring.pseudonym(name, "shop") for name in ("mia", "nora"))
        home.store.append(
            [
                said("n1", "Nora's secret", nora),
                said("m1", "Nora's secret, and what Mia says", mia, "resp_n1"),
                said("m2", "Nora's secret, and more of Mia", mia, "resp_m1"),
                said("u1", "the secret of nobody knows whom", ""),
                said("m3", "the secret of nobody knows whom, and Mia", mia, "resp_u1"),
                said("m4", "Mia alone", mia),
                said("m5", "Mia alone, again", mia, "resp_m4"),
            ]
        )
        found = export_subject(home, OFFICER, "mia", tmp_path / "mia.json", tenant="shop")
    assert [one["id"] for one in found.calls] == ["m4", "m5"] and found.n_shared == 3
    assert "secret" not in (tmp_path / "mia.json").read_text()


def test_an_erasure_while_the_file_is_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Home(tmp_path / "home", environ={}) as home:
        mia = home.keyring.pseudonym("mia", "shop")
        home.store.append([call("m1", tenant="shop", origin=mia)])

        def erased_meanwhile(data: bytes, *, indent: int) -> bytes:
            assert len(list((home.path / "copies").iterdir())) == 1, "noted before it is written"
            home.store.erase(mia, tenant="shop")
            return format_(data, indent=indent)

        format_ = msgspec.json.format
        monkeypatch.setattr(msgspec.json, "format", erased_meanwhile)
        with pytest.raises(UsageError, match="1 calls that were erased while it was written"):
            export_subject(home, OFFICER, "mia", tmp_path / "mia.json", tenant="shop")
        assert len(copies_with_erased(home)) == 1


@pytest.mark.parametrize(
    "actor", [Actor(name="c", role="curator"), Actor(name="e", role="erasure_officer", tenant="bank")]
)
def test_others_may_not_and_that_is_an_entry(tmp_path: Path, actor: Actor) -> None:
    with Home(tmp_path / "home", environ={}) as home:
        with pytest.raises(AccessDenied):
            export_subject(home, actor, "mia", tmp_path / "out", tenant="shop")
        assert [e.action for e in home.audit.entries()][-1] == "denied" and not (tmp_path / "out").exists()
