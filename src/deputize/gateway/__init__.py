"""The live path: one request from arrival to record."""
