"""The one table of names under which logs keep a thing, in the order in which they are looked up.

Headers, addresses and credentials are in none of its rows.
"""

from __future__ import annotations


def spellings(*snake: str) -> tuple[str, ...]:
    """Names in snake_case in the other ways in which programs write them: camelCase, PascalCase, kebab-case, with ID
    for Id."""
    out: list[str] = []
    for name in snake:
        words = name.split("_")
        pascal = "".join(word.capitalize() for word in words)
        camel = words[0] + "".join(word.capitalize() for word in words[1:])
        forms = [name, camel, pascal, "-".join(words)]
        if words[-1] == "id" and len(words) > 1:
            forms += [camel[:-2] + "ID", pascal[:-2] + "ID"]
        out += forms
    return tuple(dict.fromkeys(out))


EPISODE = (
    *spellings("episode", "run_id", "episode_id", "session_id"), "session.id", "session",
    *spellings("conversation_id"), "conversation.id", "gen_ai.conversation.id",
    *spellings("thread_id", "chat_id"), "Helicone-Session-Id", "mlflow.trace.session", "langfuse.session.id",
    "traceloop.association.properties.session_id", "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.session_id", "langgraph_thread_id", *spellings("dialog_id", "dialogue_id", "trace_id"),
)  # fmt: skip
EPISODE_OBJECTS = ("conversation", "thread", "chat")
"""Names under which an object with an `id` stands for the run."""
TASK = (*spellings("task_id"), "group", *spellings("instance_id"))
ORIGIN = (
    "origin", "user", *spellings("user_id"), "user.id", *spellings("end_user", "end_user_id"), "enduser.id",
    "safety_identifier", *spellings("customer_id", "customer_identifier"), "request_user_id", "helicone_user",
    "_user", "user_api_key_end_user_id", "mlflow.trace.user", "langfuse.user.id",
    "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId", "ai.telemetry.metadata.user_id",
    "asker",
)  # fmt: skip
AGENT = (
    "agent", *spellings("agent_name"), "app", *spellings("app_name", "client_id"), "user_api_key_alias",
    "gen_ai.agent.name",
)  # fmt: skip
SITE = (
    "site", *spellings("workload_id"), "ai.telemetry.functionId", "function_name", *spellings("prompt_name", "prompt_id"),
)  # fmt: skip
MODEL = (
    "response_model", "model", *spellings("provided_model_name", "model_name", "model_id"), "ai_model",
    "request_model", "deployment", "gen_ai.response.model", "gen_ai.request.model",
)  # fmt: skip
START = (
    *spellings("start_time", "started_at", "start_timestamp"), "timestamp_start",
    *spellings("requested_at", "request_created_at", "request_time"), "init_timestamp", "startedDateTime",
    "startTimeUnixNano", "start_time_unix_nano", *spellings("timestamp", "created_at", "created", "create_time"),
    "time", "ts", *spellings("event_time", "logging_time", "logged_at", "timestamp_ms", "created_on", "inserted_at"),
    "TimeGenerated", "@timestamp", "asctime", *spellings("date_time"), "datetime", "date", "time_local", "time_iso8601",
)  # fmt: skip
END = (
    *spellings("end_time", "ended_at", "end_timestamp"), "timestamp_end",
    *spellings("received_at", "response_created_at"), "endTimeUnixNano", "end_time_unix_nano",
    *spellings("completed_at", "finished_at", "responded_at"),
)  # fmt: skip
LATENCY_MS = (
    *spellings("latency_ms", "delay_ms", "duration_ms", "response_time_ms", "elapsed_ms"), "request_latency",
    *spellings("processing_time_ms", "generation_time_ms", "took_ms", "total_ms", "request_duration_ms", "total_time_ms"),
    *spellings("latency_millis", "duration_millis", "elapsed_millis", "latency_milliseconds", "duration_milliseconds"),
)  # fmt: skip
LATENCY_S = (
    "latency_s", "latency", "duration_s", "response_time", "responseTime", "elapsed", "duration", "elapsed_s", "wall_time",
    *spellings("latency_seconds", "duration_seconds", "elapsed_seconds", "response_time_s", "response_time_seconds"),
    *spellings("latency_sec", "duration_sec", "total_time_s"), "elapsed_time", "elapsedTime",
)  # fmt: skip
LATENCY_US = spellings("latency_us", "duration_us", "elapsed_us", "latency_micros", "duration_micros")
LATENCY_NS = (*spellings("latency_ns", "duration_ns", "elapsed_ns"), "durationNano", "duration_nano")
TTFT_MS = (*spellings("ttft_ms", "time_to_first_token_ms", "first_token_ms"), "ai.response.msToFirstChunk")
TTFT_S = (*spellings("time_to_first_token"), "ttft", "ttft_s")
FIRST_TOKEN = spellings("completion_start_time", "first_token_time", "first_token_at")
COST = (
    "cost_usd", "costUSD", "costUsd", "cost", "response_cost", "total_cost", "totalCost", "calculatedTotalCost",
    "spend", *spellings("estimated_cost", "total_cost_usd", "cost_in_usd"), "llm.cost.total", "price",
)  # fmt: skip
STATUS = (
    "status", *spellings("status_code", "response_status", "response_status_code", "http_status", "http_status_code"),
    *spellings("response_code", "http_code"), "http.status_code", "http.response.status_code",
)  # fmt: skip
SUCCESS = ("success", "is_success", "isSuccess", "ok")
ERROR = (
    "error", "error_str", *spellings("error_message", "error_code"), "exception",
    *spellings("status_message"), "error.message", "error.type",
)  # fmt: skip
REWARDS = ("reward", "score", "rating", "value")
OUTCOMES = (
    "outcome", "reward", "score", "scores", *spellings("feedback", "user_feedback", "human_feedback", "feedback_rating"),
    "rating", *spellings("user_rating"), "utility", "evaluation", "resolved", "passed", *spellings("is_correct"), "thumbs",
    *spellings("feedback_score", "eval_score", "thumbs_up"),
)  # fmt: skip

USAGE = (
    "usage", *spellings("token_usage", "usage_metadata", "usage_details", "token_counts", "token_count"), "tokens",
)  # fmt: skip
"""Objects that hold the counts of tokens."""
PROMPT_TOKENS = (
    *spellings("prompt_tokens", "input_tokens", "prompt_token_count", "input_token_count", "tokens_prompt"),
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
    "llm.usage.prompt_tokens", "ai.usage.promptTokens", "ai.usage.inputTokens", "prompt_eval_count",
    "req_units", *spellings("tokens_in", "in_tokens", "num_prompt_tokens", "num_input_tokens", "n_prompt_tokens"),
    *spellings("tokens_input", "native_tokens_prompt"),
)  # fmt: skip
COMPLETION_TOKENS = (
    *spellings("completion_tokens", "output_tokens", "candidates_token_count", "output_token_count", "tokens_completion"),
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
    "llm.usage.completion_tokens", "ai.usage.completionTokens", "ai.usage.outputTokens", "eval_count", "res_units",
    *spellings("tokens_out", "out_tokens", "num_completion_tokens", "num_output_tokens", "n_completion_tokens"),
    *spellings("completion_token_count", "generated_tokens", "tokens_output", "native_tokens_completion"),
)  # fmt: skip
TOTAL_TOKENS = (
    *spellings("total_tokens", "total_token_count", "tokens_total"), "gen_ai.usage.total_tokens",
    "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens",
)  # fmt: skip
CACHED_TOKENS = (
    *spellings("cached_tokens", "cache_read_input_tokens", "input_cached_tokens", "cached_input_tokens"),
    *spellings("cached_content_token_count", "cached_prompt_tokens", "prompt_cache_hit_tokens", "num_cached_tokens"),
    "input_tokens_cache_read", "input_cache_read", "cache_read", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cached_tokens", "gen_ai.usage.cache_read_input_tokens", "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens", "prompt_cached_tokens",
    *spellings("cache_read_tokens", "native_tokens_cached"),
)  # fmt: skip
CACHE_WRITE_TOKENS = (
    *spellings("cache_write_tokens", "cache_creation_input_tokens", "cache_write_input_tokens"),
    "input_tokens_cache_write", "input_cache_write", "input_cache_creation", "cache_creation",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens", "prompt_cache_creation_tokens", "cache_creation_tokens",
)  # fmt: skip
REASONING_TOKENS = (
    *spellings("reasoning_tokens", "output_reasoning_tokens", "thoughts_token_count", "reasoning_output_tokens"),
    "reasoning", "output_reasoning", "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens", "ai.usage.reasoningTokens",
    "ai.usage.outputTokenDetails.reasoningTokens", "completion_reasoning_tokens",
    *spellings("native_tokens_reasoning"),
)  # fmt: skip
TOKEN_DETAILS = spellings(
    "prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details"
)
WRITTEN_DETAILS = spellings(
    "completion_tokens_details", "output_tokens_details", "output_token_details", "completion_token_details"
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
    ("http.request.body", "http.response.body"),
    ("request.body", "response.body"),
)
"""(name of the request, name of its answer): an OpenAI, Anthropic or Gemini body under another name."""
HOLDERS = ("http", "attributes", "span_data", "data", "payload", "properties", "node", "call")
"""Objects in which some of these pairs stand one level down."""
RESPONSES = (
    "response", "completion", "output", "generated_text", "generation", "response_text",
    "completion_text", "assistant", "model_output", "output_text", "response_message", "outputs", "result",
    "output_message", "output_messages", "model_response", "llm_output", "request_response", "answer", "reply",
)  # fmt: skip
"""Names of an answer that is next to its prompt."""
PROMPTS = (
    "messages",
    "contents",
    "prompt",
    "input",
    "instruction",
    "user_prompt",
    "prompt_text",
    "input_text",
    "input_messages",
    "prompt_messages",
    "prompt_input",
    "llm_input",
    "user_input",
    "user_message",
    "inputs",
)
"""Names of a prompt that is next to its answer."""
SYSTEMS = ("system", "system_prompt", "systemPrompt", "system_message", "systemMessage")
METADATA = (
    "metadata", "properties", "tags", "meta", "extra", "custom_properties", "request_properties", "requestMetadata",
    "trace_metadata", "requester_metadata", "headers_metadata", "context", "session", "timestamps",
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
    "total_tokens": ("total",),
}
"""Names that mean tokens inside a usage object only."""
