"""S4: SLM selection, task by task."""
