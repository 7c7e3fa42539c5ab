"""Ops: the records of the runs."""
