"""A simulated help-desk agent and the whole loop run on it. Nothing here is a measurement of a real agent."""
