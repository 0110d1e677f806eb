"""S5: specialist fine-tuning, rung by rung."""
