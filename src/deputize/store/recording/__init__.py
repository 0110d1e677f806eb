"""From the live path to the store: recorder, journal, and the process that moves one into the other."""
