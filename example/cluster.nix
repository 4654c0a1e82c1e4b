# The reference cluster: two web servers, a database with a volume, and a computation that talks to nobody.
{ library, site }:
let
  variant = import ./variant.nix;
  variants = [
    "healthy"
    "unhealthy"
    "failing-build"
    "failing-evaluation"
    "failing-check"
    "ignores-power-button"
  ];
in
if !builtins.elem variant variants then
  throw "variant.nix says ${builtins.toJSON variant}, and there are ${builtins.concatStringsSep ", " variants}"
else if variant == "failing-evaluation" then
  throw "this variant of the example does not evaluate"
else
  {
    cluster = "example";

    vms.web = {
      cpu = 1;
      memoryMb = 128;
      replicas = 2;
      labels.tier = "front";
      network = {
        connect = [ "db:5432" ];
        ports = [
          {
            name = "http";
            port = 80;
          }
        ];
      };
      health = {
        checks = [
          {
            type = "http";
            port = 80;
            path = "/";
          }
        ];
        intervalMs = 500;
        startDeadlineMs = if variant == "unhealthy" then 15000 else 60000;
      };
      guest = {
        services.httpd =
          if variant == "unhealthy" then
            "echo 'this variant never listens'; exec sleep 1000000"
          else
            "exec httpd -f -p 80 -h ${site}";
        powerButton = variant != "ignores-power-button";
      };
    };

    # Answers GET /cgi-bin/count with a number that it keeps on its volume, one higher each time.
    vms.db = {
      cpu = 1;
      memoryMb = 128;
      labels.tier = "data";
      volumes.data = {
        sizeMb = 64;
        mount = "/var/lib/db";
      };
      env.DB_DIRECTORY = "/var/lib/db";
      network.ports = [
        {
          name = "db";
          port = 5432;
        }
      ];
      health = {
        checks = [
          {
            type = "tcp";
            port = 5432;
          }
        ];
        intervalMs = 500;
        startDeadlineMs = 60000;
      };
      guest.services.db = "exec httpd -f -p 5432 -h ${
        library.tree "db" {
          "cgi-bin/count" = builtins.readFile ./db/count.sh;
        } [ "cgi-bin/count" ]
      }";
    };

    vms.batch = {
      cpu = 1;
      memoryMb = 128;
      labels.tier = "batch";
      network.egress.mode = "isolated";
      guest.services.batch = builtins.readFile ./batch.sh;
    };

    rollout = {
      minHealthyMs = 500;
      maxParallel = 1;
    };
  }
