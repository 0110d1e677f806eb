"""Pages a person reads: the report."""
