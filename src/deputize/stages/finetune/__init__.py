"""S5: tune one specialist per task."""
