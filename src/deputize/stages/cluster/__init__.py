"""Task discovery (stage S3): the recurring tasks in an agent's calls."""
