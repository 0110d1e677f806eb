"""What is kept: calls, keys, audit; encrypted before it touches the disk."""
