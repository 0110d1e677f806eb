"""Where work on shards is done: processes of this machine, or a Ray cluster."""
