# What CI runs before it builds anything: one derivation a check, which fails when the check does.
{ library }:
let
  variant = import ./variant.nix;
  wanted = if variant == "failing-check" then "a text that the page does not have" else "<title>";
  page = library.tree "page" { "index.html" = builtins.readFile ./web/index.html; } [ ];
in
{
  # The same busybox httpd as in the guest answers with the page.
  page = library.shell "check-page" { } ''
    printf 'GET / HTTP/1.0\r\n\r\n' | httpd -i -h ${page} >answer
    cat answer
    grep -q '^HTTP/1.[01] 200 OK' answer
    grep -q '${wanted}' answer || { echo 'the page lacks: ${wanted}'; exit 1; }
    touch "$out"
  '';
}
