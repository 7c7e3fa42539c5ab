"""Silver: every true event once."""
