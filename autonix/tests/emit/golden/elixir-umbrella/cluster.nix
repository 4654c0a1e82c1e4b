# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 c56c9bd6075bdf57022416696041fcdbda96fcc265823dfc3638f00a15004d7a
# Not in the cluster:
# - elixir-umbrella (mix.exs): an umbrella is no application: each of its applications that starts is a release of its own
# - ledger (apps/ledger/mix.exs): a library of the umbrella in ., built with the applications that need it
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
  cluster = "elixir-umbrella";
  vms = {
    # apps/ledger_web/mix.exs, started by apps/ledger_web/mix.exs:17 (elixir.mix.mod, certain)
    ledger-web = {
      # A default; nothing here says how much it needs.
      cpu = 1;
      memoryMb = 512;
      network = {
        # apps/ledger_web/mix.exs:25 (frameworks.default-port, likely)
        ports = [
          {
            name = "tcp-4000";
            port = 4000;
          }
        ];
      };
      configuration = guest (
        { pkgs, ... }: {
          systemd.services.ledger-web = {
            wantedBy = [ "multi-user.target" ];
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
            path = [ packages.ledger-web ];
            # apps/ledger_web/mix.exs:17 (elixir.mix.mod, certain)
            script = ''
              export HOME=/var/lib/ledger-web
              export PHX_SERVER=true
              export RELEASE_DISTRIBUTION=none RELEASE_COOKIE=unused
              exec ${packages.ledger-web}/bin/ledger_web start
            '';
            serviceConfig = {
              DynamicUser = true;
              StateDirectory = "ledger-web";
              Restart = "always";
            };
          };
          networking.firewall.allowedTCPPorts = [ 4000 ];
        }
      );
    };
  };
}
