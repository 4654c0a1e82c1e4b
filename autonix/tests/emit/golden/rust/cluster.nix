# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 99d26c50c400a2b88d0ef8a5d8f1f636b2e1e72ab9cfc8dae9fee0ed3eb70d18
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
            script = ''
              export HOME=/var/lib/server
              exec ${packages.server}/bin/server
            '';
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
