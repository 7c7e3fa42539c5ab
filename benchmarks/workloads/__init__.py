"""One module per question; each has a `run(sitting)` that returns its section of the results."""
