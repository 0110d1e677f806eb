"""Where requests for an LLM go: protocols' headers, transports, fail-over."""
