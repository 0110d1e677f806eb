"""De-identification: find personal data in calls, replace it, check what is left. Used by the curate stage and by
`deputize privacy`."""
