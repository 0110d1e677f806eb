"""HTTP/1.1: a client and a server on asyncio. Knows nothing of language models."""
