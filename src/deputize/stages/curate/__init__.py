"""Curation (stage S2): de-identify, filter, de-duplicate, split."""
