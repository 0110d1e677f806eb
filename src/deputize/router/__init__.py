"""From a request to its route and from a confidence to a decision: pure functions over one route file."""
