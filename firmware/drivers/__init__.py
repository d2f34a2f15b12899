"""Drivers that several boards share; board.json names them as `drivers.NAME`.

Each has `open(params)` and the face that phone/board.py fixes for its part.
"""
