"""The one table of names under which logs keep a thing, in the order in which they are looked up.

Headers, addresses and credentials are in none of its rows.
"""

from __future__ import annotations

EPISODE = (
    "episode", "run_id", "episode_id", "episodeId", "session_id", "sessionId", "session.id", "session",
    "conversation_id", "conversationId", "conversation.id", "gen_ai.conversation.id", "thread_id", "threadId",
    "chat_id", "chatId", "Helicone-Session-Id", "mlflow.trace.session", "langfuse.session.id",
    "traceloop.association.properties.session_id", "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.session_id", "langgraph_thread_id", "trace_id", "traceId", "runId",
)  # fmt: skip
TASK = ("task_id", "taskId", "group", "instance_id")
ORIGIN = (
    "origin", "user", "user_id", "userId", "user.id", "end_user", "endUser", "end_user_id", "endUserId", "enduser.id",
    "safety_identifier", "customer_id", "customerId", "customer_identifier", "request_user_id", "helicone_user",
    "_user", "user_api_key_end_user_id", "mlflow.trace.user", "langfuse.user.id",
    "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId", "ai.telemetry.metadata.user_id",
    "asker",
)  # fmt: skip
AGENT = (
    "agent",
    "agent_name",
    "agentName",
    "app",
    "app_name",
    "client_id",
    "user_api_key_alias",
    "gen_ai.agent.name",
)
SITE = (
    "site",
    "workload_id",
    "ai.telemetry.functionId",
    "function_name",
    "prompt_name",
    "promptName",
    "prompt_id",
)
MODEL = (
    "response_model", "model", "provided_model_name", "providedModelName", "model_name", "modelName", "model_id",
    "modelId", "ai_model", "request_model", "deployment", "gen_ai.response.model", "gen_ai.request.model",
)  # fmt: skip
START = (
    "start_time", "startTime", "started_at", "startedAt", "start_timestamp", "timestamp_start", "requestedAt",
    "request_created_at", "requestTime", "request_time", "init_timestamp", "startedDateTime", "startTimeUnixNano",
    "start_time_unix_nano", "timestamp", "created_at", "createdAt", "created", "createTime", "create_time", "time",
    "ts", "logging_time", "TimeGenerated", "@timestamp", "date",
)  # fmt: skip
END = (
    "end_time", "endTime", "ended_at", "endedAt", "end_timestamp", "timestamp_end", "receivedAt", "response_created_at",
    "endTimeUnixNano", "end_time_unix_nano", "completed_at", "finished_at",
)  # fmt: skip
LATENCY_MS = (
    "latency_ms", "latencyMs", "delay_ms", "duration_ms", "durationMs", "response_time_ms", "elapsed_ms",
    "request_latency", "processing_time_ms", "generation_time_ms", "took_ms", "total_ms", "request_duration_ms",
)  # fmt: skip
LATENCY_S = (
    "latency_s",
    "latency",
    "duration_s",
    "response_time",
    "elapsed",
    "duration",
    "elapsed_s",
    "wall_time",
)
TTFT_MS = ("ttft_ms", "time_to_first_token_ms", "timeToFirstTokenMs", "ai.response.msToFirstChunk")
TTFT_S = ("time_to_first_token", "timeToFirstToken", "ttft", "ttft_s")
FIRST_TOKEN = ("completionStartTime", "completion_start_time", "first_token_time")
COST = (
    "cost_usd", "costUSD", "costUsd", "cost", "response_cost", "total_cost", "totalCost", "calculatedTotalCost",
    "spend", "estimated_cost", "estimatedCost", "llm.cost.total", "price",
)  # fmt: skip
STATUS = (
    "status", "status_code", "statusCode", "response_status", "responseStatus", "response_status_code", "http_status",
    "httpStatus", "responseCode",
)  # fmt: skip
SUCCESS = ("success", "is_success", "isSuccess", "ok")
ERROR = (
    "error",
    "error_str",
    "error_message",
    "errorMessage",
    "errorCode",
    "exception",
    "status_message",
    "statusMessage",
)
REWARDS = ("reward", "score", "rating", "value")
OUTCOMES = ("outcome", "reward", "score", "scores", "feedback", "rating", "utility", "evaluation")

PROMPT_TOKENS = (
    "prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "promptTokenCount", "inputTokenCount",
    "PromptTokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
    "llm.usage.prompt_tokens", "ai.usage.promptTokens", "ai.usage.inputTokens", "prompt_eval_count", "tokens_prompt",
    "req_units", "input_token_count", "tokensPrompt",
)  # fmt: skip
COMPLETION_TOKENS = (
    "completion_tokens", "output_tokens", "completionTokens", "outputTokens", "candidatesTokenCount",
    "outputTokenCount", "CompletionTokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens", "llm.token_count.completion", "llm.usage.completion_tokens",
    "ai.usage.completionTokens", "ai.usage.outputTokens", "eval_count", "tokens_completion", "res_units",
    "output_token_count", "tokensCompletion",
)  # fmt: skip
CACHED_TOKENS = (
    "cached_tokens", "cache_read_input_tokens", "input_cached_tokens", "cacheReadInputTokens", "cachedInputTokens",
    "cachedContentTokenCount", "input_tokens_cache_read", "cache_read", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cached_tokens", "gen_ai.usage.cache_read_input_tokens", "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens", "prompt_cached_tokens", "cache_read_tokens",
)  # fmt: skip
CACHE_WRITE_TOKENS = (
    "cache_write_tokens", "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheCreationInputTokens",
    "input_tokens_cache_write", "cache_creation", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens", "prompt_cache_creation_tokens", "cache_creation_tokens",
)  # fmt: skip
REASONING_TOKENS = (
    "reasoning_tokens", "output_reasoning_tokens", "thoughtsTokenCount", "reasoningTokens", "reasoning",
    "output_reasoning", "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens", "ai.usage.reasoningTokens",
    "completion_reasoning_tokens",
)  # fmt: skip
TOKEN_DETAILS = (
    "prompt_tokens_details",
    "input_tokens_details",
    "input_token_details",
    "promptTokensDetails",
    "inputTokenDetails",
)
WRITTEN_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "output_token_details",
    "completionTokensDetails",
    "outputTokenDetails",
)

REQUEST_AND_RESPONSE = (
    ("request", "response"),
    ("request", "result"),
    ("req", "res"),
    ("req", "resp"),
    ("request_body", "response_body"),  # Helicone
    ("requestBody", "responseBody"),
    ("reqPayload", "respPayload"),  # OpenPipe
    ("request_payload", "response_payload"),  # OpenPipe's tables, Vertex in BigQuery
    ("raw_request", "raw_response"),  # TensorZero's ModelInference
    ("full_request", "full_response"),  # Vertex in BigQuery
    ("proxy_server_request", "response"),  # LiteLLM's spend logs
    ("request_data", "response_data"),  # Logfire
    ("llm_request", "llm_response"),
    ("request_json", "response_json"),
    ("inputs", "outputs"),  # LangSmith, MLflow
    ("inputs", "output"),  # Weave
    ("input", "output"),
    ("input_data", "output_data"),
    ("payload", "response"),
    ("params", "response"),
    ("body", "response"),
)
"""(name of the request, name of its answer): an OpenAI, Anthropic or Gemini body under another name."""
HOLDERS = ("attributes", "span_data", "data", "payload", "properties", "node", "call")
"""Objects in which some of these pairs stand one level down."""
RESPONSES = (
    "response", "completion", "output", "generated_text", "generation", "response_text",
    "completion_text", "assistant", "model_output", "output_text", "response_message", "outputs", "result",
)  # fmt: skip
"""Names of an answer that is next to its prompt."""
PROMPTS = (
    "messages",
    "prompt",
    "input",
    "instruction",
    "user_prompt",
    "prompt_text",
    "input_text",
)
"""Names of a prompt that is next to its answer."""
SYSTEMS = ("system", "system_prompt", "systemPrompt", "system_message", "systemMessage")
METADATA = (
    "metadata", "properties", "tags", "meta", "extra", "custom_properties", "request_properties", "requestMetadata",
    "trace_metadata", "requester_metadata", "headers_metadata", "context", "session",
)  # fmt: skip
"""Objects in which ids of sessions and users are also looked up."""
NEVER_STORED = frozenset(
    {
        "user", "safety_identifier", "prompt_cache_key", "metadata", "headers", "extra_headers", "default_headers",
        "authorization", "api_key", "cookie", "cookies", "user_id", "ip", "requester_ip_address", "x_api_key",
        "extra_body", "api_base", "organization", "secret_fields",
    }
)  # fmt: skip
"""Request fields that name a person, a network address or hold credentials."""
SHORT_TOKEN_NAMES = {
    "prompt_tokens": ("input", "prompt"),
    "completion_tokens": ("output", "completion"),
    "cached_tokens": ("cached",),
}
"""Names that mean tokens inside a usage object only."""
