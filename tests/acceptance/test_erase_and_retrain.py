"""Erasing somebody a specialist was trained on, then the command lines that are offered, as they stand."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path

import pytest
from tests import tiny_model

from deputize.cli.main import run
from deputize.home import Home
from deputize.maintenance.lineage import specialists_of, trained_on_erased
from deputize.routes_file import read_routes

ABOUT = {
    "refund": ("money back please", "return my payment"),
    "delivery": ("where is my parcel", "it is late"),
    "login": ("cannot log in", "the account is locked"),
}


def write_log(path: Path) -> None:
    """600 tickets of 50 customers in 200 episodes."""
    rng = random.Random(1)
    with path.open("w") as file:
        for n in range(600):
            label = rng.choice(list(ABOUT))
            text = (
                "Classify the ticket. Answer with one word: refund, delivery or login.\n"
                f"Ticket: {rng.choice(ABOUT[label])}, order LH-{rng.randrange(10_000, 99_999)}"
            )
            row = {
                "id": f"c{n}",
                "timestamp": 1.76e9 + 37 * n,
                "agent": "desk",
                "site": "triage",
                "episode": f"e{n // 3}",
                "origin": f"customer-{n // 3 % 50}",
                "messages": [{"role": "user", "content": text}],
                "response": {"role": "assistant", "content": label},
            }
            file.write(json.dumps(row) + "\n")


@pytest.mark.slow
def test_what_is_offered_after_an_erasure_trains_again_without_the_erased(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    home, log = tmp_path / "home", tmp_path / "log.jsonl"
    write_log(log)
    home.mkdir()
    (home / "config.toml").write_text('[routes]\nstart = "live"\n')
    words = ["--model", tiny_model.NAME, "--epsilon", "0.1", "--minutes", "25"]
    assert run(["--home", str(home), "convert", str(log), *words]) == 0
    (before,) = read_routes(home / "routes.json").routes
    assert before.state == "live"
    capsys.readouterr()
    assert run(["--home", str(home), "--json", "erase", "--origin", "customer-7"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_calls"] == 12 and told["routes"] == [before.id] and len(told["retrain"]) == 2
    for line in told["retrain"]:
        assert run(shlex.split(line)[1:]) == 0, line
    (after,) = read_routes(home / "routes.json").routes
    assert (after.id, after.state) == (before.id, "live") and after.specialist != before.specialist
    with Home(home) as opened:
        assert [t.path for t in trained_on_erased(opened)] == [before.specialist], (
            "the new one was trained on none"
        )
        assert len(list(specialists_of(opened))) == 2
        published = [e.subject for e in opened.audit.entries() if e.action == "route.publish"]
    assert published == [before.id, after.id]
    capsys.readouterr()
    assert run(["--home", str(home), "erase", "--origin", "customer-7"]) == 0
    assert f"No route uses it: {home / before.specialist} can go." in capsys.readouterr().out
