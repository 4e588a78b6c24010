"""``nexus_core.sqlalchemy.NativePool`` behaves as SQLAlchemy's own pools do, and is fair."""
