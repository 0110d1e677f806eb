"""The command line: one file per verb group; nothing but arguments, words and exit codes."""
