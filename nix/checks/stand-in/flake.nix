{
  description = "A stand-in for nixpkgs: its library as far as our modules use it, and packages that are names only";

  outputs =
    { self }:
    let
      lib = import ./lib;
      # As deep as one looks: a derivation that nobody builds.
      package =
        system: name:
        derivation {
          inherit name system;
          builder = "/bin/sh";
        }
        // {
          optional-dependencies = { };
          version = "0";
          overridePythonAttrs = change: package system name // change { meta = { }; };
        };
      packagesOf =
        system:
        let
          named = names: lib.genAttrs names (package system);
          make =
            kind: arguments:
            package system (arguments.pname or kind)
            // {
              # What was asked for stays to be looked at.
              inherit arguments;
            };
          packages =
            named [
              "bubblewrap"
              "busybox"
              "dnsmasq"
              "e2fsprogs"
              "erofs-utils"
              "git"
              "iproute2"
              "nftables"
              "nixfmt"
              "qemu_kvm"
              "ruff"
              "uv"
            ]
            // {
              inherit lib;
              # The names are the caller's: those of pyproject.toml and of the shell.
              python3Packages = named (builtins.fromJSON (builtins.readFile ./python-packages.json)) // {
                buildPythonApplication = make "application";
              };
              fetchPypi = make "source";
              mkShell = make "shell";
              runCommand = name: environment: script: make name { inherit environment script; };
              testers.runNixOSTest = test: make test.name { inherit test; };
              callPackage =
                file: given:
                let
                  function = import file;
                in
                function (builtins.intersectAttrs (builtins.functionArgs function) packages // given);
              extend = overlay: packages // overlay packages packages;
            };
        in
        packages;
    in
    {
      # A blueprint is made without looking into the Systems.
      lib = lib // {
        nixosSystem = arguments: { inherit arguments; };
      };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packagesOf;
    };
}
