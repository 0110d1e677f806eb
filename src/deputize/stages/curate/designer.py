"""Starts the program that writes new inputs with NVIDIA's Data Designer, by the interpreter that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deputize.core.errors import BadInput, MissingExtra
from deputize.stages.curate import designer_worker

KEY_VARIABLE = "DEPUTIZE_DESIGNER_KEY"
"""In which the program finds the server's key."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "TMPDIR")


@dataclass(frozen=True)
class Designer:
    """Data Designer with one model of an OpenAI-compatible server."""

    endpoint: str
    """Up to and with /v1."""
    model: str
    key: str = ""
    python: str = ""
    """The interpreter of an environment with data-designer; "": this one."""
    timeout_s: float = 1800.0
    """For one batch."""

    def write(self, texts: Sequence[str], kind: str, n: int) -> list[tuple[int, str]]:
        """New inputs, each with the index of the one that it was made from.

        Args:
            texts: inputs, de-identified.
            kind: of inputs, in words.
            n: how many are wanted; fewer come where the model gives no answer.

        Raises:
            BadInput: the program fails; the sentence ends with the last line that it says.
            MissingExtra: the interpreter has no data-designer.
        """
        python = self.python or sys.executable
        with tempfile.TemporaryDirectory(prefix="deputize-designer-") as name:
            folder = Path(name)
            job = {
                "endpoint": self.endpoint,
                "model": self.model,
                "key_variable": KEY_VARIABLE if self.key else "",
                "texts": list(texts),
                "kind": kind,
                "n": n,
                "max_tokens": 400 + max(map(len, texts), default=0) // 2,
                "folder": name,
                "found": str(folder / "found.json"),
            }
            (folder / "job.json").write_text(json.dumps(job), "utf-8")
            env = {name: os.environ[name] for name in _KEPT if name in os.environ}
            env |= {KEY_VARIABLE: self.key} if self.key else {}
            command = [python, str(Path(designer_worker.__file__)), str(folder / "job.json")]
            try:
                done = subprocess.run(
                    command,
                    env=env,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    timeout=self.timeout_s,
                    check=False,
                )
            except OSError as error:
                raise BadInput(f"{python} cannot be started: {error.strerror}") from None
            except subprocess.TimeoutExpired:
                raise BadInput(f"data-designer wrote nothing in {self.timeout_s:.0f} seconds") from None
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
                if "No module named 'data_designer'" in said:
                    raise MissingExtra(
                        f"data-designer is not installed for {python}. It needs an environment of its own, `pip install "
                        "data-designer==0.9.7` there, and --python with its interpreter"
                    )
                raise BadInput(f"data-designer failed: {said}")
            rows = json.loads((folder / "found.json").read_text("utf-8"))
        return [(int(row["of"]), str(row["text"])) for row in rows if 0 <= int(row["of"]) < len(texts)]
