"""Maintenance: the same rows in fewer files, and nothing on disk that nobody needs (ADR 0010).

It changes no row and moves no table's batch: whoever follows the changes of a table sees none. Everything is
cut into commits of bounded size, so that it can stop in time and go on the next day.
"""
