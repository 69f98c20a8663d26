"""The configuration: its files, what is allowed in them, and its settings as a table."""
