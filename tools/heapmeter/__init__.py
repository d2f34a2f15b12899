"""Measures what the phone takes of MicroPython's heap: per module, and per phase of a registration."""
