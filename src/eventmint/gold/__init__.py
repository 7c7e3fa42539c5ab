"""Gold: the five answers and their building blocks."""
