"""Detectors over a whole log: each distinct line once, on several processes."""
