"""New texts by NVIDIA's Data Designer: `python designer_worker.py JOB.json`, in an environment that has data-designer.

A program of its own, for data-designer asks for older Faker, huggingface_hub and mcp than the rest of deputize; it
imports nothing of it. The job is a JSON object with endpoint, model, key_variable, texts, kind, n, max_tokens, folder
and found, the path where [{"of": index of a text, "text": new text}] is written.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HOWS = [
    "in the same way",
    "more briefly",
    "at more length",
    "in plainer words",
    "more formally",
    "in a hurry, with a slip or two",
]
"""Ways to write, of which the sampler draws one for each text."""
PROMPT = """Below is an input that a program sends to a language model: {{ kind }}.

INPUT:
{{ text }}
END OF INPUT

Write another input of the same kind about another case, {{ how }}. Keep its form and its language. Change the case itself: other facts, other numbers, other names, all
made up. Write the input alone, with nothing before or after it."""


def main(job_path: str) -> None:
    # before the import, which reads them: nothing is told to anybody, and nothing is looked for on a hub
    os.environ |= {"NEMO_TELEMETRY_ENABLED": "false", "HF_HUB_OFFLINE": "1"}
    job: dict[str, Any] = json.loads(Path(job_path).read_text("utf-8"))
    os.environ["DATA_DESIGNER_HOME"] = str(Path(job["folder"]) / "home")
    import data_designer.config as dd
    import pandas as pd
    from data_designer.interface import DataDesigner

    key = os.environ.get(job["key_variable"], "") if job["key_variable"] else ""
    provider = dd.ModelProvider(
        name="upstream", endpoint=job["endpoint"], provider_type="openai", api_key=key or "none"
    )
    parameters = dd.ChatCompletionInferenceParams(temperature=1.0, max_tokens=job["max_tokens"])
    model = dd.ModelConfig(
        alias="writer",
        model=job["model"],
        provider="upstream",
        inference_parameters=parameters,
        skip_health_check=True,
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    seeds = pd.DataFrame(
        {"of": range(len(job["texts"])), "text": job["texts"], "kind": [job["kind"]] * len(job["texts"])}
    )
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=seeds))
    how = dd.SamplerColumnConfig(
        name="how", sampler_type=dd.SamplerType.CATEGORY, params=dd.CategorySamplerParams(values=HOWS)
    )
    builder.add_column(how)
    builder.add_column(dd.LLMTextColumnConfig(name="new", prompt=PROMPT, model_alias="writer"))
    assets = Path(job["folder"]) / "assets"
    assets.mkdir(exist_ok=True)
    designer = DataDesigner(
        artifact_path=Path(job["folder"]) / "artifacts",
        model_providers=[provider],
        managed_assets_path=assets,
    )
    made = designer.preview(builder, num_records=job["n"]).dataset
    rows = (
        []
        if made is None
        else [{"of": int(row["of"]), "text": str(row["new"])} for _, row in made.iterrows()]
    )
    Path(job["found"]).write_text(json.dumps(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
