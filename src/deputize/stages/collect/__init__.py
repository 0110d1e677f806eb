"""Collection (stage S1): stored calls from logs, and the audience of each call."""
