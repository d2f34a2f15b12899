"""Builds the image of a phone: base firmware, the phone's files, a site's settings; docs/image.md."""
