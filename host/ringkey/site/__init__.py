"""A site on disk: its configuration, its certificate authority, files written whole or not at all."""
