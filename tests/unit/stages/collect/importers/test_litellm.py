"""LiteLLM's logs."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.litellm import LitellmImporter

CONTEXT = ImportContext("f", 1)
ROW = {"call_type": "acompletion", "model_parameters": {}, "response": {"choices": []}}


def test_embeddings_redacted_texts_and_missing_prompts_are_named() -> None:
    importer = LitellmImporter()
    embedding = importer.parse({**ROW, "call_type": "aembedding"}, CONTEXT)
    redacted = importer.parse(
        {**ROW, "messages": [{"role": "user", "content": "redacted-by-litellm"}]}, CONTEXT
    )
    missing = importer.parse({**ROW, "messages": {}, "proxy_server_request": "{}"}, CONTEXT)
    assert isinstance(embedding, Skip) and embedding.is_no_call
    assert isinstance(redacted, Skip) and "redacted" in redacted.reason
    assert isinstance(missing, Skip) and "store_prompts_in_spend_logs" in missing.reason
