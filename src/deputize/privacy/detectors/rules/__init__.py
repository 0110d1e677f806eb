"""Our own recognizers: what the stock ones of Presidio miss, and secrets. Regular expressions, each behind a cheap
test."""

from deputize.privacy.detectors.rules.rule import Rule
from deputize.privacy.detectors.rules.rule_detector import RULES, RuleDetector, SecretDetector

__all__ = ["RULES", "Rule", "RuleDetector", "SecretDetector"]
