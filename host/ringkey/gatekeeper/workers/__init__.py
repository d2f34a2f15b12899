"""Several worker processes on one RAS port (docs/gatekeeper-workers.md)."""
