"""S1: from logs to stored calls, and who each call speaks to."""
