# A machine's configuration, evaluated with nixpkgs' `lib` and the declarations of stubs.nix: for the tests of our modules
# where there is no whole nixpkgs. `failed` are the messages of the assertions that do not hold.
{ lib, modules }:
let
  # A package is a name in the store; nothing is built here.
  fake = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };
  pkgs =
    lib.genAttrs [
      "bash"
      "bubblewrap"
      "cloud-hypervisor"
      "coreutils"
      "dnsmasq"
      "e2fsprogs"
      "erofs-utils"
      "git"
      "nftables"
      "nix"
      "procurator"
      "qemu_kvm"
      "util-linux"
    ] fake
    // {
      runCommandCC = name: _environment: _script: fake name;
      runCommand = name: _environment: _script: fake name;
      writeText = name: _text: fake name;
      writeTextFile = { name, ... }: fake name;
    };
  evaluated = lib.evalModules {
    modules = [ ./stubs.nix ] ++ modules;
    specialArgs = { inherit pkgs; };
  };
in
{
  inherit (evaluated) config options extendModules;
  failed = map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) evaluated.config.assertions);
}
