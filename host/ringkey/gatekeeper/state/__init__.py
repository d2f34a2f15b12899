"""What of the gatekeeper outlives its process (docs/gatekeeper-state.md)."""
