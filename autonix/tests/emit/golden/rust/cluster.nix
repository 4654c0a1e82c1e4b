# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 c6cf31cd8be51e3a1b9fb1c61fe43f96b03f4ed228e0e39299d39381086df471
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
    # crates/server/Cargo.toml, started by crates/server/Cargo.toml:1 (rust.bin)
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
            # crates/server/Cargo.toml:1 (rust.bin)
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
