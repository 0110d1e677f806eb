"""Replacement of the personal data that was found."""
