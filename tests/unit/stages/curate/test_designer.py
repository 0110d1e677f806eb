"""The program that writes inputs with Data Designer: what it is told, and what is said where it fails."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, MissingExtra
from deputize.stages.curate.designer import Designer

PROGRAM = """#!{python}
import json, os, sys
job = json.loads(open(sys.argv[2]).read())
assert job["kind"] == "a task" and job["model"] == "m" and job["endpoint"] == "http://here/v1"
assert os.environ["DEPUTIZE_DESIGNER_KEY"] == "secret" and "SOMETHING_ELSE" not in os.environ
if job["n"] > 5:
    sys.exit("the model refuses")
rows = [{{"of": n % 2, "text": job["texts"][n % 2] + "!"}} for n in range(job["n"])] + [{{"of": 7, "text": "?"}}]
open(job["found"], "w").write(json.dumps(rows))
"""


def test_it_gives_texts_with_what_they_were_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of the interpreter is a program that writes made-up texts."""
    program = tmp_path / "python"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SOMETHING_ELSE", "x")
    designer = Designer("http://here/v1", "m", "secret", str(program))
    assert designer.write(["a", "b"], "a task", 3) == [(0, "a!"), (1, "b!"), (0, "a!")]
    with pytest.raises(BadInput, match="data-designer failed: the model refuses"):
        designer.write(["a", "b"], "a task", 6)


def test_an_interpreter_that_lacks_it_or_is_none_is_named() -> None:
    with pytest.raises(MissingExtra, match=r"data-designer is not installed for .*data-designer==0\.9\.7"):
        Designer("http://here/v1", "m").write(["a"], "a task", 1)
    with pytest.raises(BadInput, match="/nowhere/python cannot be started"):
        Designer("http://here/v1", "m", python="/nowhere/python").write(["a"], "a task", 1)
