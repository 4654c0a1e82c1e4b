"""How the cluster looks to people and to programs, as pure functions of its status; nothing here asks or prints."""

from cli.render.status import status_table

__all__ = ["status_table"]
