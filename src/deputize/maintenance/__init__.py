"""Keeping a home in order: erasure of people, retention limits, key rotation, and what was made of which calls."""
