"""The paper's conversion algorithm (arXiv 2506.02153, section 6), as data: one folder per step, in order."""

STAGES: tuple[tuple[str, str, str], ...] = (
    ("S1", "collect", "secure usage data collection"),
    ("S2", "curate", "data curation and filtering"),
    ("S3", "cluster", "task clustering"),
    ("S4", "select", "SLM selection"),
    ("S5", "finetune", "specialist fine-tuning"),
    ("S6", "refine", "iteration and refinement"),
)
