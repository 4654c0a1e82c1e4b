# The virtio serial of a volume's disk, as the worker has it: "vol-" and 16 hex digits of the SHA-256 of its name, since a
# serial holds 20 bytes.
name: "vol-" + builtins.substring 0 16 (builtins.hashString "sha256" name)
