"""Routes, API keys and specialists of several homes in one object store, known by a versioned pointer."""
