"""Writes an image to a board, and shows the board's console; docs/image.md."""
