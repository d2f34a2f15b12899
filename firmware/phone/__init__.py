"""What is around the core on every phone (docs/architecture.md, "The rooms").

A board's own drivers are imported by `board` only, by the names in its board.json.
"""
