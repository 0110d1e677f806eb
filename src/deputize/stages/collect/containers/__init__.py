"""Containers of logs: files, folders, archives, compression, encodings and text forms; they yield JSON objects.

Nothing here knows what an object means: that is the business of the importers.
"""
