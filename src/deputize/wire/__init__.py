"""The three LLM protocols (chat completions, messages, responses): requests, replies and event streams, and how one is told in another."""
