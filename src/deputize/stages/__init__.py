"""The stages of the paper's conversion algorithm: one folder each; their order is in deputize.pipeline.stage_table."""
