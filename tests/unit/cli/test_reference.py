"""The page of commands holds every command, option, choice and default."""

from __future__ import annotations

from deputize.cli.commands import COMMANDS
from deputize.cli.reference import markdown


def test_every_command_has_a_section() -> None:
    page = markdown()
    for name in COMMANDS:
        assert f"\n## `deputize {name}" in page


def test_arguments_choices_and_defaults_are_spelled_out() -> None:
    lines = markdown().splitlines()
    section = lines[lines.index("## `deputize dataset export [RUN]`") :]
    assert any(line.startswith("- `--format jsonl|openai|parquet|hf` ") for line in section[:12])
    assert any(line.startswith("- `--out DIR` ") for line in section[:12])
    assert "- `--port INTEGER RANGE` Port; 0: any free one. (default 8790)" in lines
    assert not any(line.startswith(("- `--home", "- `--json")) for line in lines)


def test_settings_of_a_run_are_explained_once_and_no_line_is_long() -> None:
    page = markdown()
    assert page.count("`--epsilon FLOAT`") == 1 and page.count("[of `convert`](#deputize-convert-paths)") == 6
    assert max(map(len, page.splitlines())) <= 120
    assert '```text\neval "$(deputize completion bash)"    in ~/.bashrc\n' in page, "a block keeps its lines"
