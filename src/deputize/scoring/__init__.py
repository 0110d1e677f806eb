"""Agreement, certificates, intervals and costs; shared by selection (S4) and refinement (S6)."""
