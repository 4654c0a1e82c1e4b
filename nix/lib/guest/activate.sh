#!@sh@
# Makes this System the current one: its files in /etc, its programs in PATH. Idempotent; starts nothing.
export PATH=@sw@/bin
for file in @etc@/*; do
  ln -sfn "$file" "/etc/${file##*/}"
done
ln -sfn @toplevel@ /run/current-system
[ -e /run/booted-system ] || ln -sfn @toplevel@ /run/booted-system
