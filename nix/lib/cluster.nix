# mkCluster: from what an author writes to the flake outputs that everything else reads. All that is wrong is told at
# once.
{
  mkSystem,
  problemsOf,
  system,
}:
written:
let
  problems = problemsOf written;
  checked =
    if problems == [ ] then
      written
    else
      throw "the cluster is not right:\n${builtins.concatStringsSep "\n" (map (problem: "  - ${problem}") problems)}";

  configurationOf =
    name: vm:
    vm.configuration or (mkSystem (
      {
        inherit name;
        env = vm.env or { };
        volumes = vm.volumes or { };
        nic = vm.network.nic or true;
      }
      // vm.guest
    ));

  ours = builtins.removeAttrs checked.vms (
    builtins.filter (name: checked.vms.${name} ? system) (builtins.attrNames checked.vms)
  );
  nixosConfigurations = builtins.mapAttrs configurationOf ours;

  blueprint =
    builtins.removeAttrs checked [ "vms" ]
    // {
      schemaVersion = 1;
      vms = builtins.mapAttrs (
        name: vm:
        { system = "nixosConfigurations.${name}.config.system.build.toplevel"; }
        // builtins.removeAttrs vm [
          "guest"
          "configuration"
        ]
      ) checked.vms;
    };
in
{
  inherit blueprint nixosConfigurations;
  # `nix eval --json .#blueprintJSON` prints it; the value is the set itself, so that it is JSON once and not twice.
  blueprintJSON = blueprint;
  packages.${system} = builtins.mapAttrs (_name: configuration: configuration.config.system.build.toplevel) nixosConfigurations;
}
