# Procurator's programs as a Python application. What it depends on is read from pyproject.toml, so there is no second
# list to keep. The tests are not run here: they want root, namespaces, nix and QEMU, which `./dev test` has.
{
  lib,
  fetchPypi,
  python3Packages,
}:
let
  inherit (builtins) match;
  # nixpkgs' own may be older than schema/ needs (2.2.2 while 26.05 was made). Version and hash are those of
  # requirements.lock; what nixpkgs says of an older one's faults does not hold for it.
  needed = "2.2.4";
  pycapnp =
    if builtins.compareVersions python3Packages.pycapnp.version needed >= 0 then
      python3Packages.pycapnp
    else
      python3Packages.pycapnp.overridePythonAttrs (old: {
        version = needed;
        src = fetchPypi {
          pname = "pycapnp";
          version = needed;
          hash = "sha256-pZi9OVLedqgDpTuEXIwwCCgzi5SZRtSfivcWMozaCho=";
        };
        doCheck = false;
        meta = old.meta // {
          broken = false;
        };
      });
  document = builtins.fromTOML (builtins.readFile ../pyproject.toml);
  inherit (document) project;

  # "hypercorn[trio]>=1" → the package hypercorn, and what its extra trio adds.
  packagesOf =
    requirement:
    let
      parts = match "([A-Za-z0-9._-]+)([[]([A-Za-z0-9,_-]+)[]])?.*" requirement;
      package = (python3Packages // { inherit pycapnp; }).${builtins.head parts};
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
