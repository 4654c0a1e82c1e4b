# The functions of nixpkgs' lib that generated flakes use, with the same meaning.
{
  inherit (builtins) concatMap;
  fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  fix =
    f:
    let
      x = f x;
    in
    x;
}
