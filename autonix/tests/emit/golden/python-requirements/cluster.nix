# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 0aa73517ba6e8ca99c3b0d142fab8fca4034fc4887b91a6aa00b96391b876c67
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
    # requirements.txt, started by Procfile:1 (procfile.process, certain)
    guestbook = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # Procfile:1 (procfile.port, certain)
        ports = [
          {
            name = "tcp-5000";
            port = 5000;
          }
        ];
      };
      # Procfile:1 (procfile.port, certain)
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
            # Procfile:1 (procfile.process, certain)
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
