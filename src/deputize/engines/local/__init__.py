"""Specialists that answer in process: forms of answers, readers, the worker that serves them."""
