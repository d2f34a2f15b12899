"""The gatekeeper around the protocol core: RAS port, directory, key look-up, signalling channels."""
