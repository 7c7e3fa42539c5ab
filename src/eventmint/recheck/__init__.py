"""The recheck behind `verify --deep`: proves every table from the files themselves, with no source at hand.

Files first: each must be there, be the bytes that were written, be readable and be what its table's manifest
says. Then rows: bronze against the ledger, and every later table against the same models run again over the
lines of bronze, value for value. Nothing is written. Every finding is a `Law` that names table, day, file and
the first rows that differ.
"""
