"""Benchmarks: each prints a table and writes JSON, and compares with a peer in the same run."""
