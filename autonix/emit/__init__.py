"""An analysis in, the syntax trees of `flake.nix` and `cluster.nix` out; see `files.py` for the entry."""
