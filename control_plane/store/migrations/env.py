"""What Alembic runs to migrate: on the connection and in the transaction of its caller (`store/migrate.py`)."""

from alembic import context

from control_plane.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
