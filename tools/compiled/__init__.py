"""The gatekeeper's busiest modules compiled for this machine (docs/gatekeeper-compiled.md)."""
