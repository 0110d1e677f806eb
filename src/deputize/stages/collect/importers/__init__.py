"""Importers: one module for each log format, found by name through `registry`."""
