# Written by autonix (`pcr init`), which writes it again as long as nobody edits it.
# autonix: sha256 adb80e9b949126e0f52507ef3676a58878befdaedbba0b04865e0a1caae13c9d
{
  description = "dotnet-web, as autonix found it";
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  # Procurator's nix/ directory: lib/ and modules/ are in it.
  inputs.procurator = {
    url = "path:/var/lib/procurator/nix";
    flake = false;
  };
  outputs =
    { self, nixpkgs, procurator }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      inherit (pkgs) lib;
      # The packages of these names; one that this nixpkgs lacks is named on stderr and left out.
      present = scope: lib.concatMap (
        name:
        if builtins.hasAttr name scope then
          [ scope.${name} ]
        else
          builtins.trace "autonix: this nixpkgs has no package ${name}, which is left out" [ ]
      );
      # A package's sources and dependencies, and a command instead of its build.
      checked = package: tools: command: package.overrideAttrs (
        old: {
          nativeBuildInputs = old.nativeBuildInputs or [ ] ++ tools;
          dontBuild = false;
          buildPhase = command;
          installPhase = "touch $out";
          outputs = [ "out" ];
          doCheck = false;
          doInstallCheck = false;
          dontFixup = true;
        }
      );
      packages = {
        # Orders/Orders.csproj: a project of dotnet, so buildDotnetModule
        # dotnet: Orders/Orders.csproj:1 (dotnet.manager, certain)
        orders-api = pkgs.buildDotnetModule {
          # Orders/Orders.csproj:4 (dotnet.msbuild.AssemblyName, certain)
          pname = "orders-api";
          # Orders/Orders.csproj:5 (dotnet.msbuild.Version, certain)
          version = "1.5.0";
          src = ./.;
          projectFile = "Orders/Orders.csproj";
          # What NuGet downloads: `nix build .#orders-api.fetch-deps && ./result deps.json`
          nugetDeps =
            if builtins.pathExists ./deps.json then
              ./deps.json
            else
              builtins.toFile "deps.json" "[]";
          # Orders/Orders.csproj:3 (dotnet.msbuild.TargetFramework, certain)
          dotnet-sdk = pkgs.dotnet-sdk_8 or pkgs.dotnet-sdk;
          executables = [ "orders-api" ];
          meta = { mainProgram = "orders-api"; };
        };
      };
      # What start commands find in PATH besides their own package.
      runtimes = { };
      library = import "${procurator}/lib" { inherit system; };
      cluster = library.mkCluster (import ./cluster.nix { inherit nixpkgs procurator system packages runtimes; });
    in
    {
      packages.${system} = packages // { default = packages.orders-api; };
      apps.${system} = {
        # Orders/Orders.csproj:1 (dotnet.msbuild.sdk, certain)
        orders-api = {
          type = "app";
          program = "${packages.orders-api}/bin/orders-api";
        };
      };
      checks.${system} = {
        # It builds.
        orders-api = packages.orders-api;
      };
      devShells.${system} = {
        # Orders/Orders.csproj: dotnet
        orders-api = pkgs.mkShell {
          packages = [
            # Orders/Orders.csproj:3 (dotnet.msbuild.TargetFramework, certain)
            pkgs.dotnet-sdk_8 or pkgs.dotnet-sdk
          ];
        };
        # All of the above.
        default = pkgs.mkShell {
          packages = [
            # Orders/Orders.csproj:3 (dotnet.msbuild.TargetFramework, certain)
            pkgs.dotnet-sdk_8 or pkgs.dotnet-sdk
          ];
        };
      };
      inherit (cluster) blueprint blueprintJSON nixosConfigurations;
    };
}
