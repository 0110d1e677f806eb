"""The types of personal data that detectors name, in groups: direct, indirect, secret, guessed, and public ones.

A type that is in none of the groups, such as one of a user's own detector, counts as a direct identifier.
"""

from __future__ import annotations

DIRECT: frozenset[str] = frozenset([
    "PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS",
    "MAC_ADDRESS", "API_KEY", "PASSWORD", "USERNAME", "MEDICAL_RECORD", "STREET_ADDRESS", "BANK_ACCOUNT",
    "POLICY_NUMBER", "DATE_OF_BIRTH", "PASSPORT", "DRIVER_LICENSE", "NATIONAL_ID", "CASE_NUMBER",
    "LICENSE_NUMBER", "CRYPTO", "TAX_ID", "HEALTH_ID", "VEHICLE_ID", "DEVICE_ID", "ENCODED_TEXT",
    "COORDINATES",
])  # fmt: skip
"""Types that point at one person, or open a door; replaced at every level."""

INDIRECT: frozenset[str] = frozenset([
    "DATE_TIME", "ORGANIZATION", "LOCATION", "MEDICATION", "HEALTH_CONDITION", "JOB_TITLE", "AGE",
    "POSTAL_CODE", "URL",
])  # fmt: skip
"""Types that narrow down who it is and that tasks often need; replaced from level "strict" on."""

HEALTH: frozenset[str] = frozenset({"HEALTH_CONDITION", "MEDICATION"})
"""Indirect types that are replaced at every level in a prompt template that names a person."""

UNMEASURED = "UNMEASURED"
"""A word that may identify a person, in a language without a measured recall; masked where few people use it."""

SECRET: frozenset[str] = frozenset({"API_KEY", "PASSWORD"})
"""Types that may not stay even in a prompt template."""

FUZZY: frozenset[str] = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "USERNAME", "JOB_TITLE"})
"""Types found by their look; known words of the task (labels, enumerations, template text) overrule them."""

PUBLIC: frozenset[str] = INDIRECT | {"AMOUNT"}
"""Types that an application may say of itself: where its template or a schema holds such a value, it is not
replaced."""
