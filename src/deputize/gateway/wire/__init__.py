"""The protocols clients and upstreams speak: bytes to events and back. Knows nothing of sockets or of the store."""
