#!/bin/sh
# A counter that outlives its VM: the volume keeps it, and has it on disk before the answer goes out.
until mkdir /run/count.lock 2>/dev/null; do usleep 10000; done
trap 'rmdir /run/count.lock' EXIT
count=$(cat "$DB_DIRECTORY/count" 2>/dev/null || echo 0)
count=$((count + 1))
echo "$count" >"$DB_DIRECTORY/count.new"
sync
mv "$DB_DIRECTORY/count.new" "$DB_DIRECTORY/count"
sync
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$count"
