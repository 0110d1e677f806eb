"""S3: discover the few tasks hidden in the traffic."""
