"""Versions of the directory's database, applied by alembic when it is opened.

`HEAD` is the newest one; a test holds it to the files in `versions/`.  It is written
here once more so that opening a database that is up to date need not load alembic.
"""

HEAD = "0001"
