"""SLM selection (S4): models and training methods for each task."""
