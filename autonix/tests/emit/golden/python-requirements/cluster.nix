# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 14fe66921413d2fc123a99f1607ee9611c250595b3b8726342fdd8521ce4f818
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
  cluster = "guestbook";
  vms = {
    # requirements.txt, started by Procfile:1 (procfile.process)
    guestbook = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # Procfile:1 (procfile.port)
        ports = [
          {
            name = "tcp-5000";
            port = 5000;
          }
        ];
      };
      # Procfile:1 (procfile.port)
      health.checks = [
        {
          type = "tcp";
          port = 5000;
        }
      ];
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.guestbook = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.guestbook ];
            # Procfile:1 (procfile.process)
            script = ''
              export HOME=/var/lib/guestbook
              gunicorn app:app
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "guestbook";
              WorkingDirectory = "${packages.guestbook}/src";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 5000 ];
        }
      );
    };
  };
}
