"""What is kept: calls, keys, audit log; encrypted before it touches the disk."""
