"""Serve: what people and programs read."""
