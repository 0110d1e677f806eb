"""Answers that other programs write: llama.cpp, vLLM, servers that speak OpenAI's API. Read back token by token."""
