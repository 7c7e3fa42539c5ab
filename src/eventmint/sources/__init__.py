"""Sources: what arrives, found and read; nothing is judged here."""
