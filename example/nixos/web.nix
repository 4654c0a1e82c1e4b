# A page, served by nginx.
{ pkgs, ... }:
{
  services.nginx = {
    enable = true;
    virtualHosts.default = {
      default = true;
      root = pkgs.writeTextDir "index.html" (builtins.readFile ./web/index.html);
    };
  };
  system.stateVersion = "26.05";
}
