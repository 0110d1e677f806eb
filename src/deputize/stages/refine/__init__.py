"""The refinement loop (paper: S6): when to convert again, and which routes have gone bad."""
