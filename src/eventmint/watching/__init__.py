"""Watching: whether what comes in is as it always was, and who is told when it is not."""
