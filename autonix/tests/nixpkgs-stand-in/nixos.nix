# nixosSystem: modules are merged in the simplest way and held to the options that generated clusters set, by name and
# form. What comes out is a toplevel whose derivation depends on all of it. Procurator's guest.nix is known by its file's
# name: with it there are the options that mkCluster sets.
{ pkgs }:
let
  inherit (import ./arguments.nix) checked types;
  inherit (builtins)
    all
    attrNames
    filter
    isAttrs
    isInt
    isList
    isString
    ;
  has = what: test: { inherit what test; };
  port = has "a port" (value: isInt value && value >= 1 && value <= 65535);
  ports = has "a list of ports" (value: isList value && all port.test value);
  texts = has "a set of strings" (value: isAttrs value && all (name: isString value.${name}) (attrNames value));
  required = { enable = types.bool; };

  service = {
    environment = texts;
    path = types.packages;
    script = types.string;
    wantedBy = types.strings;
    wants = types.strings;
    after = types.strings;
    serviceConfig = types.set;
  };
  options = {
    postgresql = {
      inherit (types) package;
      enableTCPIP = types.bool;
      authentication = types.string;
      ensureDatabases = types.strings;
      ensureUsers = has "a list of users" (
        value:
        isList value
        && all (
          user:
          user ? name
          && (!(user.ensureDBOwnership or false) || builtins.elem user.name (map (each: each.name) value))
        ) value
      );
    };
    mysql = {
      inherit (types) package;
      settings = types.set;
      ensureDatabases = types.strings;
      initialScript = types.package;
    };
    mongodb.bind_ip = types.string;
    rabbitmq = {
      listenAddress = types.string;
      configItems = texts;
    };
    elasticsearch.listenAddress = types.string;
    memcached.listen = types.string;
    nginx.virtualHosts = types.set;
    phpfpm.pools = types.set;
  };
  pool = {
    user = types.string;
    group = types.string;
    settings = has "a set of strings, numbers and booleans, with pm and pm.max_children" (
      value:
      isAttrs value
      && value ? pm
      && value ? "pm.max_children"
      && all (name: isString value.${name} || isInt value.${name} || builtins.isBool value.${name}) (attrNames value)
    );
  };
  virtualHost = {
    default = types.bool;
    root = types.string;
    locations = has "a set of locations" (
      value:
      isAttrs value
      && all (
        name:
        all (option: builtins.elem option [ "tryFiles" "extraConfig" "proxyPass" ]) (attrNames value.${name})
        && texts.test value.${name}
      ) (attrNames value)
    );
    listen = has "a list of addresses and ports" (
      value: isList value && all (each: isString each.addr && port.test each.port) value
    );
  };
  redisServer = {
    bind = types.string;
    inherit port;
    settings = types.set;
  };

  checkedService =
    name: value:
    if name == "redis" then
      let
        good = checked "services.redis" { servers = types.set; } { inherit (types) package; } value;
      in
      good
      // {
        servers = builtins.mapAttrs (
          server: checked "services.redis.servers.${server}" required redisServer
        ) good.servers;
      }
    else if name == "phpfpm" then
      builtins.mapAttrs (each: checked "services.phpfpm.pools.${each}" pool {
        phpPackage = types.package;
        phpEnv = texts;
      }) (checked "services.phpfpm" { inherit (options.phpfpm) pools; } { } value).pools
    else if name == "nginx" then
      let
        good = checked "services.nginx" required options.nginx value;
      in
      good
      // {
        virtualHosts = builtins.mapAttrs (each: checked "services.nginx.virtualHosts.${each}" { } virtualHost) (
          good.virtualHosts or { }
        );
      }
    else if options ? ${name} then
      checked "services.${name}" (if name == "mysql" then required // { inherit (types) package; } else required)
        options.${name}
        value
    else
      throw "the option services.${name} does not exist";

  checkedModule =
    written:
    let
      good = checked "a module" { } {
        systemd = types.set;
        services = types.set;
        networking = types.set;
        procurator = types.set;
        _file = types.string;
      } written;
    in
    {
      tmpfiles = (checked "systemd.tmpfiles" { } { rules = types.strings; } (good.systemd.tmpfiles or { })).rules or [ ];
      units = builtins.mapAttrs (name: checked "systemd.services.${name}" { } service) (good.systemd.services or { });
      services = builtins.mapAttrs checkedService (good.services or { });
      guest = checked "procurator.guest" { } {
        env = texts;
        nic = types.bool;
        volumes = types.set;
      } (good.procurator.guest or { });
      ports = (checked "networking.firewall" { } { allowedTCPPorts = ports; } (good.networking.firewall or { }));
    };
  loaded = module: if builtins.isFunction module then module { inherit pkgs; } else module;
  nixosSystem =
    { system, modules }:
    let
      ours = map loaded (filter (module: !(isString module) && !(builtins.isPath module)) modules);
      files = filter (module: isString module || builtins.isPath module) modules;
      present = map (
        file: if builtins.pathExists file then toString file else throw "the module ${toString file} does not exist"
      ) files;
      isGuest = builtins.any (file: baseNameOf file == "guest.nix") present;
      settings = map checkedModule ours;
    in
    {
      options = if isGuest then { procurator.guest = { }; } else { };
      extendModules = more: nixosSystem (checked "extendModules" { modules = types.list; } { } more // {
        inherit system;
        modules = modules ++ more.modules;
      });
      config.system.build.toplevel = derivation {
        name = "nixos-system";
        inherit system;
        builder = "/bin/sh";
        settings = builtins.toJSON { inherit settings present; };
      };
    };
in
nixosSystem
