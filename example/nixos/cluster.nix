# The reference cluster with NixOS guests, which want more memory, written as options: start here. In Procurator, a test
# holds this and `example/cluster.nix` together.
{ guest, ... }:
{
  cluster.name = "example";

  cluster.vms.web = {
    cpu = 1;
    memoryMb = 512;
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
      startDeadlineMs = 60000;
    };
    configuration = guest ./web.nix;
  };

  cluster.vms.db = {
    cpu = 1;
    memoryMb = 512;
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
    configuration = guest ./db.nix;
  };

  cluster.vms.batch = {
    cpu = 1;
    memoryMb = 512;
    labels.tier = "batch";
    network.egress.mode = "isolated";
    configuration = guest ./batch.nix;
  };

  cluster.rollout = {
    minHealthyMs = 500;
    maxParallel = 1;
  };
}
