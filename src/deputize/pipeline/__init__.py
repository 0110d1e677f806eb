"""The stages of the paper's conversion algorithm (arXiv 2506.02153, section 6) in their order, over one home."""
