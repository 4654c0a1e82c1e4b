"""Frozen models to Cap'n Proto messages and back; no capnp object leaves `schema`."""
