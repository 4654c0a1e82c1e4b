# What an author may write in a cluster, option by option: forms and ranges as in Blueprint v1 (schema/blueprint.py),
# and `guest`, from which mkSystem makes the System.
let
  t = import ./types.nix;
  port = t.int 1 65535 "";
  milliseconds = t.int 0 604800000 " of milliseconds";
  labelKey = t.matching "a label's name" "[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?";
  labelValue = t.matching "a label's value" "[A-Za-z0-9._-]{0,63}";
  labels = t.mapOf labelKey labelValue;
  megabytes = low: t.int low 67108864 " of MiB";
  labelExpression = t.record [ "key" ] {
    key = labelKey;
    operator = t.oneOf [
      "in"
      "notIn"
      "exists"
    ];
    values = t.listOf labelValue;
  };
  absolute = t.matching "an absolute path of plain characters" "/[A-Za-z0-9._/-]{1,250}";
in
{
  cluster = t.record [ "cluster" "vms" ] {
    cluster = t.label;
    machines = t.mapOf t.label (
      t.record [ "role" "address" "port" ] {
        role = t.oneOf [
          "control-plane"
          "worker"
        ];
        address = t.string;
        inherit port labels;
      }
    );
    vms = t.mapOf t.label (
      t.record [ "cpu" "memoryMb" ] {
        # Which System boots: `guest` for mkSystem, `configuration` for anything with config.system.build.toplevel, or
        # `system`, the flake attribute of a toplevel.
        guest = t.any;
        configuration = t.any;
        system = t.matching "a flake attribute" "[A-Za-z_][A-Za-z0-9_'-]{0,100}([.][A-Za-z_0-9][A-Za-z0-9_'-]{0,100}){0,15}";
        cpu = t.int 1 255 "";
        memoryMb = megabytes 32;
        extras = t.mapOf labelKey (t.int 1 1048576 "");
        replicas = t.int 0 10000 "";
        inherit labels;
        singleton = t.bool;
        volumes = t.mapOf t.label (
          t.record [ "sizeMb" "mount" ] {
            sizeMb = megabytes 1;
            mount = absolute;
            onLoss = t.oneOf [
              "keep"
              "recreate"
            ];
          }
        );
        network = t.record [ ] {
          nic = t.bool;
          egress = t.record [ ] {
            mode = t.oneOf [
              "isolated"
              "allow"
              "open"
            ];
            domains = t.listOf (
              t.matching "a domain (x.org, or *.x.org for its subdomains)" "([*][.])?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z0-9-]{2,63}"
            );
          };
          connect = t.listOf (t.matching "a VM and a port (db:5432)" "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?:[0-9]{1,5}");
          ports = t.listOf (
            t.record [ "name" "port" ] {
              name = t.label;
              inherit port;
              publish = port;
            }
          );
        };
        dependsOn = t.listOf t.label;
        env = t.mapOf (t.matching "the name of an environment variable" "[A-Za-z_][A-Za-z0-9_]*") t.string;
        placement = t.record [ ] {
          require = t.listOf labelExpression;
          prefer = t.listOf labelExpression;
          spread = t.listOf (
            t.record [ "over" ] {
              over = labelKey;
              maxSkew = t.int 1 10000 "";
            }
          );
          affinity = t.listOf t.label;
          antiAffinity = t.listOf t.label;
          priority = t.int 0 100 "";
        };
        health = t.record [ ] {
          checks = t.listOf (
            t.record [ "type" ] {
              type = t.oneOf [
                "tcp"
                "http"
                "command"
                "readiness"
              ];
              inherit port;
              path = t.matching "a path that starts with /" "/[!-~]{0,1000}";
              command = t.listOf t.string;
            }
          );
          intervalMs = t.int 100 3600000 " of milliseconds";
          timeoutMs = t.int 50 600000 " of milliseconds";
          failures = t.int 1 1000 "";
          startDeadlineMs = t.int 1000 3600000 " of milliseconds";
        };
        update = t.record [ ] {
          strategy = t.oneOf [
            "replace"
            "switch"
          ];
          autoRollback = t.bool;
        };
      }
    );
    rollout = t.record [ ] {
      waves = t.listOf (
        t.record [ ] {
          selector = labels;
          percent = t.int 1 100 "";
          delayMs = milliseconds;
          gate = t.oneOf [
            "auto"
            "approve"
          ];
        }
      );
      minHealthyMs = milliseconds;
      maxFailures = t.int 0 1000000 "";
      maxParallel = t.int 1 1000000 "";
      jitterMs = milliseconds;
      allowShrink = t.bool;
    };
  };
}
