"""Bronze: every line that arrived, once per file content, good or bad."""
