"""S6: score, certify, publish routes, report."""
