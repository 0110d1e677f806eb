"""The live page: calls, routes, tasks, runs and audits of a home in the browser; no build step, nothing from
elsewhere."""
