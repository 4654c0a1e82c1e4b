# What the names of a worker's taps begin with (worker/netplan.py; a test holds the two together): `p` and the first six
# characters of the base32 form of a SHA-256, five bits each.
{ name, state }:
let
  inherit (builtins) elemAt genList hashString stringLength substring;
  hexadecimal = hashString "sha256" "${name}\n${state}";
  digit = index: (builtins.fromTOML "value = 0x${substring index 1 hexadecimal}").value;
  bits = index: let value = digit index; in map (weight: if builtins.bitAnd value weight == 0 then 0 else 1) [ 8 4 2 1 ];
  all = builtins.concatLists (genList bits 8);
  number = index: builtins.foldl' (sum: bit: 2 * sum + elemAt all (5 * index + bit)) 0 (genList (bit: bit) 5);
  alphabet = "abcdefghijklmnopqrstuvwxyz234567";
in
assert stringLength alphabet == 32;
"p" + builtins.concatStringsSep "" (genList (index: substring (number index) 1 alphabet) 6)
