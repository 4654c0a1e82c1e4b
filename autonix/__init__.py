"""Scan a repository and write its flake. Not here yet; see the README."""
