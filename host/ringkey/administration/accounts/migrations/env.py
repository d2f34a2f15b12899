"""What alembic runs for each migration; `ringkey.database` gives it the connection.

The connection comes with its transaction begun, so a migration that fails leaves the
database as it was: SQLite's DDL is transactional.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
