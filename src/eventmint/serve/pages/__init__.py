"""Pages: the report in one file and the live dashboard, both drawn from the same document."""
