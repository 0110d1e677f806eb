"""Specialists on this machine: torch lives in a worker process, never in the gateway."""
