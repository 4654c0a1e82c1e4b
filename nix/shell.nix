# What one works on Procurator with, besides its own dependencies: as `./dev` installs it on Debian.
{ pkgs }:
[
  pkgs.bubblewrap
  pkgs.busybox
  pkgs.dnsmasq
  pkgs.e2fsprogs
  pkgs.erofs-utils
  pkgs.git
  pkgs.iproute2
  pkgs.nftables
  pkgs.qemu_kvm
  pkgs.uv
  pkgs.python3Packages.hypothesis
  pkgs.python3Packages.mypy
  pkgs.python3Packages.pytest
  pkgs.python3Packages.pytest-cov
  pkgs.python3Packages.pytest-timeout
  pkgs.python3Packages.pytest-trio
  pkgs.ruff
]
