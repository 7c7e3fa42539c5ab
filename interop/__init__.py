"""`make interop`: other engines read, and rewrite, the lake that eventmint wrote. Needs Java."""
