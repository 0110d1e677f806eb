"""Key management: the wrapping key and its providers, data keys, rotation."""
