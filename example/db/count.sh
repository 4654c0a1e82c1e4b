#!/bin/sh
# A counter that outlives its VM: the volume keeps it.
exec 9>"$DB_DIRECTORY/lock"
flock 9 2>/dev/null
count=$(cat "$DB_DIRECTORY/count" 2>/dev/null || echo 0)
count=$((count + 1))
echo "$count" >"$DB_DIRECTORY/count.new"
sync
mv "$DB_DIRECTORY/count.new" "$DB_DIRECTORY/count"
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$count"
