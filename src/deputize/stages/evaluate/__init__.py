"""The evaluation stage (paper: S6, first half): compare methods, certify, publish routes, report."""
