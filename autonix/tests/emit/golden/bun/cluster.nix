# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 ba67c289abae4bcc6b58a0f9fb3e4cc34d2a9c3763e0269c86b23b0ad7ed9c61
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
  cluster = "javascript-bun-server";
  vms = {
    # package.json, started by package.json:5 (javascript.package.scripts, certain)
    javascript-bun-server = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # Dockerfile:3 (docker.expose, certain)
        ports = [
          {
            name = "tcp-3000";
            port = 3000;
          }
        ];
      };
      # Dockerfile:3 (docker.expose, certain)
      health.checks = [
        {
          type = "tcp";
          port = 3000;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.javascript-bun-server = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.gull ] ++ runtimes.gull;
            # package.json:5 (javascript.package.scripts, certain)
            script = ''
              export HOME=/var/lib/javascript-bun-server
              exec bun run start
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "javascript-bun-server";
              WorkingDirectory = "${packages.gull}/lib/app";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 3000 ];
        }
      );
    };
  };
}
