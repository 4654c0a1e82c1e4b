# Procurator's programs as a Python application. What it depends on is read from pyproject.toml, so there is no second
# list to keep. The tests are not run here: they want root, namespaces, nix and QEMU, which `./dev test` has.
{
  lib,
  python3Packages,
}:
let
  inherit (builtins) match;
  document = builtins.fromTOML (builtins.readFile ../pyproject.toml);
  inherit (document) project;

  # "hypercorn[trio]>=1" → the package hypercorn, and what its extra trio adds.
  packagesOf =
    requirement:
    let
      parts = match "([A-Za-z0-9._-]+)([[]([A-Za-z0-9,_-]+)[]])?.*" requirement;
      package = python3Packages.${builtins.head parts};
      extras = builtins.elemAt parts 2;
    in
    [ package ]
    ++ lib.concatMap (extra: package.optional-dependencies.${extra} or [ ]) (
      if extras == null then [ ] else lib.splitString "," extras
    );
in
python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;
  src = lib.cleanSource ../.;

  build-system = [ python3Packages.setuptools ];
  dependencies = lib.concatMap packagesOf project.dependencies;
  doCheck = false;
  pythonImportsCheck = [
    "schema"
    "nix"
    "control_plane"
    "worker"
    "ci_service"
    "repohub"
    "cli"
  ];

  meta = {
    inherit (project) description;
    mainProgram = "pcr";
    platforms = lib.platforms.linux;
  };
}
