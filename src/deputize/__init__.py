"""Deputize: small specialists, certified, take the routine calls of an agent; the LLM keeps the rest."""

__version__ = "0.1.0"
