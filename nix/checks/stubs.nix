# The options of NixOS that our modules set, for their evaluation with nixpkgs' `lib` alone: names and forms as NixOS
# declares them, and nothing behind them. A name that is not here is refused, as NixOS would.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  of = type: mkOption { inherit type; };
  with' = type: default: mkOption { inherit type default; };
  flag = with' types.bool false;
  words = with' (types.listOf types.str) [ ];
  # As in systemd's unit files: an atom, or a list that several definitions add to.
  atom = types.oneOf [
    types.bool
    types.int
    types.str
    types.path
    types.package
  ];
  unitOption = lib.mkOptionType {
    name = "systemd option";
    check = value: if lib.isList value then lib.all atom.check value else atom.check value;
    merge =
      at: definitions:
      if lib.any (definition: lib.isList definition.value) definitions then
        lib.concatMap (definition: lib.toList definition.value) definitions
      else
        lib.mergeEqualOption at definitions;
  };
  unitOptions = with' (types.attrsOf unitOption) { };
  unit = {
    description = with' types.str "";
    wants = words;
    after = words;
    before = words;
    wantedBy = words;
    unitConfig = unitOptions;
  };
  attributes = with' (types.attrsOf types.anything) { };
in
{
  options = {
    assertions = with' (types.listOf types.unspecified) [ ];
    boot = {
      consoleLogLevel = with' types.int 4;
      initrd = {
        availableKernelModules = words;
        includeDefaultModules = flag;
        kernelModules = words;
        systemd.enable = flag;
      };
      kernel.sysctl = attributes;
      kernelModules = words;
      kernelParams = words;
      loader.grub.enable = with' types.bool true;
      supportedFilesystems = words;
      swraid.enable = flag;
    };
    console.enable = with' types.bool true;
    documentation.enable = flag;
    environment = {
      etc = with' (types.attrsOf (types.submodule { options.source = of types.path; })) { };
      systemPackages = with' (types.listOf types.package) [ ];
    };
    fileSystems = with' (types.attrsOf (
      types.submodule {
        options = {
          autoResize = flag;
          device = of types.str;
          fsType = of types.str;
          neededForBoot = flag;
          noCheck = flag;
          options = words;
        };
      }
    )) { };
    fonts.fontconfig.enable = flag;
    hardware.enableRedistributableFirmware = flag;
    networking = {
      dhcpcd.denyInterfaces = words;
      firewall = {
        allowedTCPPorts = with' (types.listOf types.port) [ ];
        enable = with' types.bool true;
        extraCommands = with' types.lines "";
        extraInputRules = with' types.lines "";
      };
      hostName = with' types.str "nixos";
      nftables.enable = flag;
      useDHCP = with' types.bool true;
      useNetworkd = flag;
      usePredictableInterfaceNames = with' types.bool true;
    };
    nix.enable = with' types.bool true;
    powerManagement.enable = flag;
    programs.command-not-found.enable = flag;
    security.sudo.enable = flag;
    services = {
      journald.console = with' types.str "";
      lvm.enable = flag;
      timesyncd.enable = flag;
      udisks2.enable = flag;
    };
    systemd = {
      enableEmergencyMode = flag;
      globalEnvironment = with' (types.attrsOf types.str) { };
      network = {
        networks = attributes;
        wait-online.enable = flag;
      };
      services = with' (types.attrsOf (
        types.submodule {
          options = unit // {
            path = with' (types.listOf types.package) [ ];
            restartIfChanged = with' types.bool true;
            restartTriggers = with' (types.listOf types.unspecified) [ ];
            script = with' types.lines "";
            serviceConfig = unitOptions;
            stopIfChanged = with' types.bool true;
          };
        }
      )) { };
      tmpfiles.rules = words;
      targets = with' (types.attrsOf (types.submodule { options = unit; })) { };
    };
    users = {
      groups = with' (types.attrsOf (types.submodule { })) { };
      users = with' (types.attrsOf (
        types.submodule {
          options = {
            description = with' types.str "";
            group = of types.str;
            home = of types.path;
            isSystemUser = flag;
            uid = with' (types.nullOr types.int) null;
          };
        }
      )) { };
    };
    xdg = lib.genAttrs [ "autostart" "icons" "mime" "sounds" ] (_name: { enable = flag; });
  };
}
