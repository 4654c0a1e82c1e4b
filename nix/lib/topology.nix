# What must hold between the options of a cluster whose forms are right: each function yields sentences that name VM,
# option and value.
let
  t = import ./types.nix;
  inherit (builtins)
    attrNames
    concatLists
    concatMap
    elem
    filter
    ;
  inherit (t) show;
  when = condition: message: if condition then [ message ] else [ ];
  each =
    list: check:
    concatLists (builtins.genList (index: check index (builtins.elemAt list index)) (builtins.length list));
  duplicates =
    values:
    attrNames (
      builtins.removeAttrs (builtins.groupBy (value: value) values) (
        filter (value: builtins.length (filter (other: other == value) values) < 2) values
      )
    );
in
cluster:
let
  inherit (cluster) vms;
  names = attrNames vms;
  known = "the cluster has ${builtins.concatStringsSep ", " names}";
  portsOf = vm: vm.network.ports or [ ];
  hasNic = vm: vm.network.nic or true;

  systems =
    name: vm:
    let
      given = filter (option: vm ? ${option} && !(option == "system" && vm.system == null)) [
        "guest"
        "configuration"
        "system"
      ];
    in
    when (builtins.length given != 1) (
      "vms.${name}: needs exactly one of guest, configuration and system, and has "
      + (if given == [ ] then "none" else builtins.concatStringsSep ", " given)
    );

  # "web-0" is the first instance of "web", so no VM can be called that.
  instances =
    name: _vm:
    let
      parts = builtins.match "(.+)-(0|[1-9][0-9]*)" name;
      stem = builtins.elemAt parts 0;
    in
    when (
      parts != null && vms ? ${stem} && builtins.fromJSON (builtins.elemAt parts 1) < (vms.${stem}.replicas or 1)
    ) "vms.${name}: this is also the name of an instance of ${stem}";

  single =
    name: vm:
    let
      count = vm.replicas or 1;
    in
    when (count > 1 && vm.volumes or { } != { })
      "vms.${name}.replicas: ${toString count} is not possible with volumes (${builtins.concatStringsSep ", " (attrNames vm.volumes)}): a VM with volumes is always one"
    ++ when (
      count > 1 && vm.singleton or false
    ) "vms.${name}.replicas: ${toString count} is not possible with singleton = true";

  volumes =
    name: vm:
    let
      mounts = map (volume: vm.volumes.${volume}.mount) (attrNames (vm.volumes or { }));
      reserved = [
        "/nix"
        "/nix/store"
        "/dev"
        "/proc"
        "/sys"
        "/run"
        "/etc"
        "/bin"
      ];
    in
    concatMap (mount: [ "vms.${name}.volumes: two of them mount at ${show mount}" ]) (duplicates mounts)
    ++ concatMap (
      volume:
      let
        inherit (vm.volumes.${volume}) mount;
      in
      when (elem mount reserved || builtins.match "/(dev|proc|sys|nix/store)/.*" mount != null) "vms.${name}.volumes.${volume}.mount: ${show mount} belongs to the system"
      ++ when (
        builtins.match ".*(//|/[.][.]?(/.*)?$|/$).*" mount != null
      ) "vms.${name}.volumes.${volume}.mount: ${show mount} has empty, '.' or '..' parts"
    ) (attrNames (vm.volumes or { }));

  connections =
    name: vm:
    each (vm.network.connect or [ ]) (
      index: target:
      let
        option = "vms.${name}.network.connect[${toString index}]";
        parts = builtins.match "([^:]+):([0-9]+)" target;
        other = builtins.elemAt parts 0;
        number = builtins.fromJSON (builtins.head (builtins.match "0*([0-9]+)" (builtins.elemAt parts 1)));
        offered = map (port: port.port) (portsOf vms.${other});
      in
      if !(vms ? ${other}) then
        [ "${option}: ${show target} names the VM ${other}, which does not exist (${known})" ]
      else
        when (number < 1 || number > 65535) "${option}: ${show target} has a port that is not from 1 to 65535"
        ++ when (!(hasNic vms.${other})) "${option}: ${show target} cannot be reached, as ${other} has nic = false"
        ++ when (offered != [ ] && !(elem number offered))
          "${option}: ${show target} is a port that ${other} does not offer (vms.${other}.network.ports: ${builtins.concatStringsSep ", " (map toString offered)})"
    );

  network =
    name: vm:
    let
      mode = vm.network.egress.mode or "isolated";
      needing =
        filter (option: vm.network.${option} or [ ] != [ ]) [
          "connect"
          "ports"
        ]
        ++ (if mode != "isolated" then [ "egress.mode" ] else [ ]);
      twice = what: values: map (value: "vms.${name}.network.ports: the ${what} ${value} is there twice") (duplicates values);
    in
    when (mode != "allow" && vm.network.egress.domains or [ ] != [ ])
      "vms.${name}.network.egress.domains: ${show vm.network.egress.domains} needs mode \"allow\", not ${show mode}"
    ++ (
      if hasNic vm then
        [ ]
      else
        map (option: "vms.${name}.network.${option}: is not possible with nic = false") needing
    )
    ++ twice "name" (map (port: port.name) (portsOf vm))
    ++ twice "port" (map (port: toString port.port) (portsOf vm));

  health =
    name: vm:
    each (vm.health.checks or [ ]) (
      index: check:
      let
        option = "vms.${name}.health.checks[${toString index}]";
        remote = elem check.type [
          "tcp"
          "http"
        ];
      in
      when (remote && !(check ? port)) "${option}.port: is missing, and a ${check.type} check needs it"
      ++ when (remote && !(hasNic vm)) "${option}: a ${check.type} check is not possible with nic = false"
      ++ when (check ? path && check.type != "http") "${option}.path: ${show check.path} goes with type \"http\" only"
      ++ when (
        check ? command && check.type != "command"
      ) "${option}.command: ${show check.command} goes with type \"command\" only"
      ++ when (check.type == "command" && !(check ? command)) "${option}.command: is missing, and a command check needs it"
    );

  references =
    name: vm:
    concatMap
      (
        option:
        each option.value (
          index: target:
          when (!(vms ? ${target}))
            "vms.${name}.${option.name}[${toString index}]: ${show target} is no VM of the cluster (${known})"
          ++ when (target == name && option.name == "dependsOn") "vms.${name}.dependsOn[${toString index}]: ${show target} is the VM itself"
        )
      )
      [
        {
          name = "dependsOn";
          value = vm.dependsOn or [ ];
        }
        {
          name = "placement.affinity";
          value = vm.placement.affinity or [ ];
        }
        {
          name = "placement.antiAffinity";
          value = vm.placement.antiAffinity or [ ];
        }
      ];

  expressions =
    name: vm:
    concatMap
      (
        option:
        each (vm.placement.${option} or [ ]) (
          index: expression:
          let
            operator = expression.operator or "in";
            values = expression.values or [ ];
          in
          when ((operator == "exists") == (values != [ ]))
            "vms.${name}.placement.${option}[${toString index}].values: operator ${show operator} ${
              if values == [ ] then "needs values" else "takes no values, and has ${show values}"
            }"
        )
      )
      [
        "require"
        "prefer"
      ];

  contradictions =
    name: vm:
    each (vm.placement.antiAffinity or [ ]) (
      index: other:
      when (elem other (vm.placement.affinity or [ ])) "vms.${name}.placement.antiAffinity[${toString index}]: ${show other} is in affinity, too"
    );

  # Without checks a VM is healthy when it has run for so long.
  deadlines =
    name: vm:
    let
      deadline = vm.health.startDeadlineMs or 120000;
      wanted = cluster.rollout.minHealthyMs or 2000;
    in
    when (vm.health.checks or [ ] == [ ] && deadline < wanted)
      "vms.${name}.health.startDeadlineMs: ${toString deadline} is less than rollout.minHealthyMs (${toString wanted}), so the VM could never get healthy";

  # One way round, if there is any: what is left after taking away, again and again, all that could start.
  cycles =
    let
      next = name: filter (other: vms ? ${other} && other != name) (vms.${name}.dependsOn or [ ]);
      reduce =
        left:
        let
          # By name: a list would be searched from its start for each of ten thousand.
          among = builtins.listToAttrs (
            map (name: {
              inherit name;
              value = null;
            }) left
          );
          stuck = filter (name: builtins.any (other: among ? ${other}) (next name)) left;
        in
        if builtins.length stuck == builtins.length left then left else reduce stuck;
      stuck = reduce names;
      follow =
        trail:
        let
          step = builtins.head (filter (other: elem other stuck) (next (builtins.elemAt trail (builtins.length trail - 1))));
        in
        if elem step trail then dropUntil step trail ++ [ step ] else follow (trail ++ [ step ]);
      dropUntil = name: trail: if builtins.head trail == name then trail else dropUntil name (builtins.tail trail);
      circle = follow [ (builtins.head stuck) ];
    in
    when (stuck != [ ])
      "vms.${builtins.head circle}.dependsOn: ${builtins.concatStringsSep " -> " circle} goes round in a circle, so nothing could start first";

  published =
    let
      all = concatMap (
        name: map (port: toString port.publish) (filter (port: port ? publish) (portsOf vms.${name}))
      ) names;
      users =
        port:
        filter (name: builtins.any (entry: toString (entry.publish or "") == port) (portsOf vms.${name})) names;
    in
    map (
      port: "network.ports: publish = ${port} is wanted by ${builtins.concatStringsSep " and " (users port)}"
    ) (duplicates all);

  waves = each (cluster.rollout.waves or [ ]) (
    index: wave:
    when (
      (wave ? selector) == (wave ? percent)
    ) "rollout.waves[${toString index}]: needs either a selector or a percent"
  );

  size = when (builtins.length names > most) "vms: are ${toString (builtins.length names)}, and ${toString most} are the most";
  most = 10000;

  perVm = [
    systems
    instances
    single
    volumes
    connections
    network
    health
    references
    expressions
    contradictions
    deadlines
  ];
in
concatMap (name: concatMap (check: check name vms.${name}) perVm) names ++ size ++ cycles ++ published ++ waves
