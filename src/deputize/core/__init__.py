"""The words of the project: records, contracts, templates, errors, configuration. Imports nothing of ours."""
