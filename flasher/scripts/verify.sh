# Reads the first bytes of a block device past the page cache and prints their
# digest, with the position every second.
# $1 device, $2 bytes, $3 dd input flags or "", $4 the program that digests.
dir=$(mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT
mkfifo "$dir/pipe" || exit
if [ -z "$3" ]; then
	sync
	echo 3 >/proc/sys/vm/drop_caches || exit
fi
blocks=$((($2 + 1048575) / 1048576))
dd if="$1" bs=1048576 count=$blocks $3 >"$dir/pipe" 2>"$dir/dd" &
reader=$!
{ head -c "$2" | $4; } <"$dir/pipe" >"$dir/sum" &
digest=$!
while sleep 1 && kill -0 $digest 2>/dev/null; do
	sed -n 's/^pos:[^0-9]*/dutflash-read /p' /proc/$reader/fdinfo/0 2>/dev/null
done
wait $digest || exit
# head stops reading at the last byte; dd may then be ended by a broken pipe.
wait $reader
status=$?
if [ $status -ne 0 ] && [ $status -ne 141 ]; then
	cat "$dir/dd" >&2
	exit $status
fi
read -r sum rest <"$dir/sum" || exit
for _ in 1 2 3; do echo "dutflash-digest $sum"; done # one may arrive damaged
