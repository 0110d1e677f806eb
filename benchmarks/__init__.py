"""Measurements compared with peers, in the same run: `python -m benchmarks.NAME --json OUT`. None of them is a test."""
