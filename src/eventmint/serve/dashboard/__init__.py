"""The dashboard: the pages live over HTTP, and an API of the same answers. Read-only."""
