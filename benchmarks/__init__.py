"""Benchmarks: how long the work takes, what it costs in CPU and memory, measured on this machine."""
