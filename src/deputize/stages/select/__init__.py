"""S4: which small models could do a task, and what the cheap baselines already do."""
