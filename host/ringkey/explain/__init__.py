"""What is in a capture of RAS, in plain words (docs/gatekeeper-seeing.md)."""
