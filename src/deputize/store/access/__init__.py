"""Who may do what: roles, API keys, approvals, the audit log, rate limits."""
