"""Specialist fine-tuning (S5): trains the planned methods of each task."""
