"""A simulated help-desk agent and its scripted teacher, to show the whole loop."""
