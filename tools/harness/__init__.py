"""Drives phones and servers as processes: for the demo, the tests and whoever writes their own."""
