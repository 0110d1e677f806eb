"""Masks personal data in requests before an LLM sees them, and restores it in the replies."""
