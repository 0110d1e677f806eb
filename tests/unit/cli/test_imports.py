"""import and erase on bad and good input."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from deputize.cli.main import run
from deputize.core.artifacts import Finetuned, Specialist
from deputize.core.records import Contract, PromptRecipe, Task
from deputize.home import Home
from deputize.pipeline.run import artifact_of
from deputize.store.keys.keyring import KeyRing


def line(number: int, **fields: object) -> dict[str, object]:
    return {
        "id": f"c{number}",
        "messages": [{"role": "user", "content": f"question {number}"}],
        "response": {"role": "assistant", "content": "answer"},
        **fields,
    }


def write(path: Path, rows: Iterable[object], opener: Callable[..., Any] = open) -> str:
    with opener(path, "wt") as file:
        for row in rows:
            file.write((row if isinstance(row, str) else json.dumps(row)) + "\n")
    return str(path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_good_lines_are_kept_and_bad_ones_named(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        line(1),
        "{broken",
        {"id": "no messages", "response": {"role": "assistant", "content": "x"}},
        "",
        line(
            2,
            response={
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{not json"}}
                ],
            },
        ),
        "[1, 2]",
    ]
    path = write(tmp_path / "log.jsonl", rows)
    assert run(["--home", str(home), "--json", "import", "--partial", path]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["n_calls"] + told["n_skipped"] == 5
    assert told["n_calls"] >= 1
    assert told["n_stored"] == told["n_calls"]
    assert {s["line"] for s in told["skipped"]} >= {2, 3, 6}
    assert "log.jsonl" in err


def test_more_skipped_than_read_is_an_error_that_names_reasons(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "log.jsonl", [line(1), *({"level": "info", "msg": f"{n}"} for n in range(9))])
    assert run(["--home", str(home), "import", path]) == 3
    out, err = capsys.readouterr()
    assert "1 calls imported, 0 were here already, 9 lines skipped" in out
    assert "9 skipped, first at line 2" in err and "(keys seen: level, msg)" in err and "--partial" in err
    assert run(["--home", str(home), "import", path, "--partial"]) == 0


def test_a_look_stores_nothing_and_shows_the_first_call(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "log.jsonl", [line(1, user="ann@example.org"), line(2)])
    assert run(["--home", str(home), "--json", "import", path, "--look"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_calls"] == 2 and told["first_call"]["id"] == "c1" and "ann@" not in json.dumps(told)
    assert not (home / "store.db").exists()
    assert run(["--home", str(home), "import", path, "--look"]) == 0
    assert "2 calls would be imported; nothing was stored." in capsys.readouterr().out


def test_formats_are_listed_and_an_unknown_one_is_refused(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", "--formats"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("calls", "openai", "conversations"))
    path = write(tmp_path / "log.jsonl", [line(1)])
    assert run(["--home", str(home), "import", path, "--format", "xml"]) == 2
    assert "formats are auto" in capsys.readouterr().err


def test_a_format_of_ones_own_is_mapped(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "log.jsonl", [{"q": {"text": f"why {n}?"}, "a": "so"} for n in range(3)])
    assert run(["--home", str(home), "import", path, "--map", "prompt=q.text", "--map", "response=a"]) == 0
    assert "3 calls imported" in capsys.readouterr().out
    assert run(["--home", str(home), "import", path, "--map", "prompt"]) == 2


def test_importing_twice_adds_nothing(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "log.jsonl.gz", [line(i) for i in range(5)], gzip.open)
    assert run(["--home", str(home), "import", path]) == 0
    assert run(["--home", str(home), "--json", "import", path]) == 0
    told = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert (told["n_calls"], told["n_stored"]) == (0, 5)


def test_one_call_is_enough_to_import(tmp_path: Path, home: Path) -> None:
    assert run(["--home", str(home), "import", write(tmp_path / "one.jsonl", [line(1)])]) == 0


def test_a_two_megabyte_prompt_is_imported_whole(tmp_path: Path, home: Path) -> None:
    text = "long " * 400_000
    row = line(1, messages=[{"role": "user", "content": text}])
    assert run(["--home", str(home), "import", write(tmp_path / "long.jsonl", [row])]) == 0
    store = Home(home).open_store()
    assert next(iter(store.calls())).messages[0]["content"] == text
    store.close()


def test_a_log_that_unpacks_too_far_is_refused_after_what_was_read(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deputize.stages.collect.containers.decompress.FREE_BYTES", 500_000)
    rows = [line(i, messages=[{"role": "user", "content": f"{i} " + "1" * 20_000}]) for i in range(200)]
    path = write(tmp_path / "log.jsonl.gz", rows, gzip.open)
    assert run(["--home", str(home), "import", path]) == 3
    err = capsys.readouterr().err
    assert "log.jsonl.gz unpacks to more than 100 times its size" in err and "--unpack-all" in err
    store = Home(home).open_store()
    assert 0 < store.count() < 200
    store.close()
    assert run(["--home", str(home), "import", "--look", path]) == 3
    assert run(["--home", str(home), "import", "--unpack-all", path]) == 0
    assert "the store holds 200." in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "\n\n", "{broken\n", "\x00\x01\x02"])
def test_a_log_without_a_call_is_bad_input(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text(content)
    assert run(["--home", str(home), "import", str(path)]) == 3
    err = capsys.readouterr().err
    assert "empty.jsonl" in err and "Traceback" not in err


def test_a_missing_file_and_a_false_gzip(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(home), "import", str(tmp_path / "nowhere.jsonl")]) == 3
    assert "nowhere.jsonl" in capsys.readouterr().err
    false = tmp_path / "false.jsonl.gz"
    false.write_bytes(b"not gzip at all")
    assert run(["--home", str(home), "import", str(false)]) == 3
    assert "false.jsonl.gz" in capsys.readouterr().err


def test_an_unreadable_file(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "secret.jsonl"
    path.write_text(json.dumps(line(1)))
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        assert run(["--home", str(home), "import", str(path)]) == 3
        assert "secret.jsonl" in capsys.readouterr().err
    else:
        pytest.skip("this user reads everything")
    finally:
        path.chmod(0o600)


def test_a_disk_that_fills_up_is_told_and_nothing_is_lost(tmp_path: Path, home: Path) -> None:
    path = write(
        tmp_path / "log.jsonl",
        [line(i, note="x" * 2000, messages=[{"role": "user", "content": f"{i}" * 4000}]) for i in range(400)],
    )
    command = [sys.executable, "-m", "deputize.cli.main", "--home", str(home), "import", path]

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=small_disk, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.strip() and "Traceback" not in done.stderr
    # with room again the same command goes on
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    store = Home(home).open_store()
    assert store.count() == 400
    store.close()


def test_erase_removes_an_origin_and_names_specialists_trained_on_it(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line(i, origin="alice" if i < 3 else "bob") for i in range(5)]
    assert run(["--home", str(home), "import", write(tmp_path / "log.jsonl", rows)]) == 0
    keyring = KeyRing.open(home)
    store = Home(home).open_store()
    mine = [c.id for c in store.calls() if c.origin == keyring.pseudonym("alice")]
    store.close()
    assert len(mine) == 3
    (home / "runs" / "0001-abc").mkdir(parents=True)
    contract = Contract(kind="label", labels=["a"])
    task = Task(id="t1", name="t", contract=contract, recipe=PromptRecipe(), keys=[])
    specialist = Specialist(
        id="s1",
        task_id="t1",
        method="lora",
        model="m",
        kind="head",
        contract=contract,
        task=task,
        n_train=1,
        train_s=1.0,
        trained_on=[mine[0]],
        path="runs/0001-abc/specialists/t1-lora",
    )
    artifact_of(Home(home), "0001-abc", "finetune", Finetuned).write(Finetuned(specialists=[specialist]))
    capsys.readouterr()
    assert run(["--home", str(home), "--json", "erase", "--origin", "alice"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_calls"] == 3
    assert told["specialists"] == ["runs/0001-abc/specialists/t1-lora"]
    store = Home(home).open_store()
    assert {c.origin for c in store.calls()} == {keyring.pseudonym("bob")}
    store.close()


def test_the_reader_of_a_log_can_be_said_at_import(tmp_path: Path, home: Path) -> None:
    log = write(tmp_path / "log.jsonl", [line(1), line(2, audience="human")])
    assert run(["import", log, "--audience", "code", "--home", str(home)]) == 0
    store = Home(home).open_store()
    try:
        assert {call.id: call.audience for call in store.calls()} == {"c1": "code", "c2": "human"}
    finally:
        store.close()
