"""Hosts of specialists: machines that answer for the specialists of a home, for gateways on other machines."""
