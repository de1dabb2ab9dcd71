"""Alembic's entry: migrates the engine that storage.database hands over."""

from alembic import context

from storage.tables import Base

engine = context.config.attributes["engine"]
with engine.connect().execution_options(immediate=True) as connection:
    # SQLite can't alter most things in place: batch mode copies the table.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
