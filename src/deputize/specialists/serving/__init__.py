"""Specialists in a process of their own: the worker, its pool and the frames between them."""
