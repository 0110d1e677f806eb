"""Looking at and steering a home: the same functions behind the commands and the live page."""
