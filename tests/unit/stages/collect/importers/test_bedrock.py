"""Bedrock's invocation logs."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.bedrock import BedrockImporter

CONTEXT = ImportContext("f", 1)
ROW = {"schemaType": "ModelInvocationLog", "operation": "InvokeModel", "modelId": "arn:x/m"}


def test_bodies_elsewhere_and_embeddings_are_named() -> None:
    importer = BedrockImporter()
    away = importer.parse({**ROW, "input": {"inputBodyS3Path": "s3://x"}}, CONTEXT)
    vector = importer.parse(
        {
            **ROW,
            "input": {"inputBodyJson": {"inputText": "x"}},
            "output": {"outputBodyJson": {"embedding": [1]}},
        },
        CONTEXT,
    )
    assert isinstance(away, Skip) and "S3Path" in away.reason
    assert isinstance(vector, Skip) and vector.is_no_call


def test_llama_and_streams_of_claude_are_read() -> None:
    llama = BedrockImporter().parse(
        {
            **ROW,
            "input": {"inputBodyJson": {"prompt": "x"}},
            "output": {"outputBodyJson": {"generation": "y", "stop_reason": "stop"}},
        },
        CONTEXT,
    )
    stream = BedrockImporter().parse(
        {
            **ROW,
            "input": {
                "inputBodyJson": {"messages": [{"role": "user", "content": "x"}], "anthropic_version": "v"}
            },
            "output": {
                "outputBodyJson": [
                    {"type": "message_start", "message": {"id": "m"}},
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y"}},
                    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                ]
            },
        },
        CONTEXT,
    )
    for call in (llama, stream):
        assert isinstance(call, Call) and call.response["content"] == "y" and call.model == "m"
