# The ways in which everything here is built: busybox runs a few lines of sh; there is no nixpkgs.
{ parts, system }:
let
  # A derivation whose builder is `script`; `attrs` are its environment, and reach it as shell variables.
  shell =
    name: attrs: script:
    derivation (
      {
        inherit name system;
        builder = "${parts}/bin/busybox";
        args = [
          "sh"
          "-euc"
          script
        ];
        PATH = "${parts}/bin";
      }
      // attrs
    );
in
{
  inherit shell;

  # A directory with `files`, a map from paths to texts. Those whose names are in `executable` can be run.
  tree =
    name: files: executable:
    let
      names = builtins.attrNames files;
      write = index: path: ''
        mkdir -p "$out/$(dirname ${quote path})"
        printf %s "$text${toString index}" >"$out"/${quote path}
        ${if builtins.elem path executable then "chmod 0555 \"$out\"/${quote path}" else ""}
      '';
      quote = text: "'" + builtins.replaceStrings [ "'" ] [ "'\\''" ] text + "'";
      numbered = builtins.genList (index: index) (builtins.length names);
    in
    shell name (builtins.listToAttrs (
      map (index: {
        name = "text${toString index}";
        value = files.${builtins.elemAt names index};
      }) numbered
    )) ("mkdir -p \"$out\"\n" + builtins.concatStringsSep "" (map (index: write index (builtins.elemAt names index)) numbered));

  # The text of `file` with every @name@ of `values` filled in.
  fill =
    file: values:
    let
      names = builtins.attrNames values;
    in
    builtins.replaceStrings (map (name: "@${name}@") names) (map (name: "${values.${name}}") names) (
      builtins.readFile file
    );
}
