"""What answers for a specialist: linear models, encoders, language models; their answer schemas and confidence."""
