"""Alembic's entry: migrates the engine that storage.database hands over, in one transaction.

Batch mode, which SQLite needs for most changes, copies a table and drops the old one. With foreign keys enforced the drop
is refused as long as rows point there; so they rest for the migration and are checked at its end.
"""

from alembic import context
from sqlalchemy.exc import IntegrityError

from storage.tables import Base

engine = context.config.attributes["engine"]
is_file = engine.dialect.name == "sqlite"
with engine.connect().execution_options(immediate=True) as connection:
    # Past SQLAlchemy, which would begin a transaction first: within one the pragma does nothing.
    direct = connection.connection.driver_connection
    if is_file:
        direct.execute("PRAGMA foreign_keys=OFF")
    try:
        # Ours, begun before Alembic looks: left to itself it commits after each step on SQLite.
        with connection.begin():
            # SQLite can't alter most things in place: batch mode copies the table.
            context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
            context.run_migrations()
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all() if is_file else []
            if broken:
                lost = f"after the migration {len(broken)} rows would point to nothing; nothing was changed"
                raise IntegrityError("PRAGMA foreign_key_check", None, Exception(lost))
    finally:
        if is_file:
            direct.execute("PRAGMA foreign_keys=ON")
