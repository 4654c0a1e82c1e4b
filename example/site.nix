# The page of the web VMs, as a store path.
{ library }:
let
  variant = import ./variant.nix;
  page = builtins.readFile ./web/index.html;
in
if variant == "failing-build" then
  library.shell "site" { } ''
    echo "rendering the page"
    echo "the renderer is out of ink"
    exit 3
  ''
else
  library.tree "site" { "index.html" = page; } [ ]
