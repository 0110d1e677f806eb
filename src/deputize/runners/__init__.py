"""Where heavy map steps run."""
