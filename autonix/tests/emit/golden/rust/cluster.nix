# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 fc858b2c6acf152af06cac131f2c32b467ff21016cfef3d7feb30c8fb5f59157
{
  nixpkgs,
  procurator,
  system,
  packages,
  runtimes,
}:
let
  # A NixOS module as a microVM's System.
  guest = module: nixpkgs.lib.nixosSystem {
    inherit system;
    modules = [ "${procurator}/modules/guest.nix" module ];
  };
in
{
  cluster = "ferry";
  vms = {
    # crates/server/Cargo.toml, started by crates/server/Cargo.toml:1 (rust.bin, certain)
    server = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.server = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.server ];
            # crates/server/Cargo.toml:1 (rust.bin, certain)
            script = "export HOME=/var/lib/server\nexec ${packages.server}/bin/server\n";
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "server";
              Restart = "always";
            };
          };
        }
      );
    };
  };
}
