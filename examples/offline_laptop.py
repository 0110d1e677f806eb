"""An offline laptop: a specialist is exported as a folder, and answers there without network, LLM, torch, home or keys.

The LLM whose log is converted is simulated. Takes about a minute. For llama.cpp and Ollama: docs/guides/export.md.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from letters import MODEL, answer, request

from deputize import Home, Request, Specialist, convert, run_settings


def on_the_server(folder: Path, out: Path) -> None:
    """Converts a log and exports the route."""
    log = folder / "calls.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("w") as lines:
        for number in range(240):
            messages = request(number)
            reply = answer({"messages": messages})
            row = {"agent": "mail room", "run_id": f"letter-{number}", "model": MODEL}
            lines.write(json.dumps({**row, "messages": messages, "response": reply}) + "\n")
    with Home(folder / "home") as home:
        convert(home, run_settings(home, methods=("linear",)), paths=[log])
        (route,) = home.routes().routes
    command = ["export", route.id, "--to", "npz", "--out", str(out), "--home", str(folder / "home")]
    subprocess.run([sys.executable, "-m", "deputize.cli.main", *command], check=True)


def on_the_laptop(folder: Path) -> None:
    """Answers from the exported folder. A connection to anywhere would be an error here."""
    socket.socket.connect = None  # type: ignore[assignment]
    specialist = Specialist.load(folder)
    threshold = json.loads((folder / "certificate.json").read_text())["threshold"]
    asked = [Request(messages=request(number)) for number in range(1000, 1100)]
    sure = [p for p in specialist.predict(asked) if p.confidence >= threshold]
    print(f"{len(sure)} of {len(asked)} letters sorted offline; torch loaded: {'torch' in sys.modules}")


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "laptop")
    if sys.argv[2:] == ["answer"]:
        on_the_laptop(place / "exported")
    else:
        on_the_server(place, place / "exported")
        subprocess.run([sys.executable, __file__, str(place), "answer"], check=True)
