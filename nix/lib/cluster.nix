# mkCluster: from what an author writes to the flake outputs that everything else reads. All that is wrong is told at
# once.
{
  mkSystem,
  problemsOf,
  serialOf,
  system,
}:
written:
let
  inherit (builtins) attrNames filter mapAttrs removeAttrs;
  t = import ./types.nix;
  inherit (import ./options.nix) cluster guest;

  problems = problemsOf written;
  checked = unless problems written;
  unless =
    problems: value:
    if problems == [ ] then
      value
    else
      throw "the cluster is not right:\n${builtins.concatStringsSep "\n" (map (problem: "  - ${problem}") problems)}";
  # What is looked at only now, as `options.nix` says.
  rightly = path: type: value: unless (type.check path value) value;

  # What of a VM its System must know.
  baked = name: vm: {
    inherit name;
    env = vm.env or { };
    volumes = vm.volumes or { };
    nic = vm.network.nic or true;
  };

  # The same as a module for a System that has modules/guest.nix among its modules.
  guestModule =
    told:
    let
      mounts = mapAttrs (name: volume: {
        inherit (volume) mount;
        serial = serialOf name;
      }) told.volumes;
    in
    {
      _file = "vms.${told.name} of the cluster";
      procurator.guest = {
        inherit (told) env nic;
        volumes = mounts;
      };
    };

  # One that takes no modules must need none: a database that starts without its volume would do harm.
  untold =
    told:
    filter (option: option != null) [
      (if told.volumes != { } then "volumes" else null)
      (if told.env != { } then "env" else null)
      (if !told.nic then "network.nic = false" else null)
    ];

  configured =
    told: configuration:
    if configuration ? options.procurator.guest && configuration ? extendModules then
      configuration.extendModules { modules = [ (guestModule told) ]; }
    else if untold told == [ ] then
      configuration
    else
      throw "vms.${told.name}.configuration: has not the module guest.nix of Procurator (nixosModules.guest), so ${builtins.concatStringsSep " and " (untold told)} cannot reach its System";

  configurationOf =
    name: vm:
    let
      told = baked name vm;
    in
    if vm ? guest then
      mkSystem (told // rightly "vms.${name}.guest" guest vm.guest)
    else if builtins.isFunction vm.configuration then
      vm.configuration (told // { module = guestModule told; })
    else
      configured told vm.configuration;

  isForeign = vm: vm.system or null != null;
  ours = removeAttrs checked.vms (filter (name: isForeign checked.vms.${name}) (attrNames checked.vms));
  nixosConfigurations = mapAttrs configurationOf ours;

  # How a System is made stays here; the blueprint says where it is.
  located =
    name: vm:
    removeAttrs vm [
      "guest"
      "configuration"
    ]
    // (if isForeign vm then { } else { system = "nixosConfigurations.${name}.config.system.build.toplevel"; });
  blueprint = t.sparse cluster (checked // { vms = mapAttrs located checked.vms; }) // {
    schemaVersion = 1;
  };
in
{
  inherit blueprint nixosConfigurations;
  # `nix eval --json .#blueprintJSON` prints it; the value is the set itself, so that it is JSON once and not twice.
  blueprintJSON = blueprint;
  packages.${system} = mapAttrs (_name: configuration: configuration.config.system.build.toplevel) nixosConfigurations;
}
