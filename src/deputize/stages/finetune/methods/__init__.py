"""Training methods: one file a method, each reached by its name through the registry."""
