# All that is wrong with a cluster as its author wrote it, as sentences: with the forms of its options, and if they are
# right, with what must hold between them.
written:
let
  options = import ./options.nix;
  forms = options.cluster.check "cluster" written;
  # Paths begin at the cluster itself: "vms.web.cpu".
  short =
    message:
    if builtins.substring 0 8 message == "cluster." then
      builtins.substring 8 (builtins.stringLength message) message
    else
      message;
in
if forms != [ ] then map short forms else import ./topology.nix written
