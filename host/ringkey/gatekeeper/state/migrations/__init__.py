"""Versions of the gatekeeper's state, applied by alembic when it is opened.

`HEAD` is the newest one; a test holds it to the files in `versions/`.
"""

HEAD = "0004"
