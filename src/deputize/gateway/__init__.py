"""The live path: wire shapes, streaming, admission, one request from arrival to record."""
