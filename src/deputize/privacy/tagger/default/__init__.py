"""The tagger that ships with the package: a small network over hashed parts of words, run by numpy alone."""
