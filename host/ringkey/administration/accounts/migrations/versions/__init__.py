"""One file a version, each with the one before it in `down_revision`."""
