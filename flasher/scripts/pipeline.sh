# Writes an image through a decompressor and dd.
# $1 device, $2 URL of a shell fragment that defines get_image, $3 decompressor,
# $4 dd operands, $5 URL of a CA file or "". The fragment holds the image's URL and
# what authorizes for it, which therefore is on no command line and in no file.
set -o pipefail
get() {
	if command -v curl >/dev/null; then curl -fsS "$1"; else wget -q -O - "$1"; fi
}
dir=$(mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT
ca=$dir/ca.pem
if [ -n "$5" ]; then
	get "$5" >"$ca" || exit
fi
fragment=$(get "$2") || exit
eval "$fragment"
mkfifo "$dir/pipe" || exit
{ get_image | $3; } >"$dir/pipe" 2>"$dir/from" &
source=$!
dd of="$1" $4 <"$dir/pipe" 2>"$dir/dd" &
writer=$!
while sleep 1 && kill -0 $writer 2>/dev/null; do
	sed -n 's/^pos:[^0-9]*/dutflash-wrote /p' /proc/$writer/fdinfo/1 2>/dev/null
done
wait $writer
wrote=$?
# Where dd ended early, what feeds it ends by the broken pipe.
wait $source
fed=$?
if [ $wrote -ne 0 ]; then
	echo "dutflash-dd-failed $wrote"
	cat "$dir/dd" "$dir/from" >&2
	exit $wrote
fi
if [ $fed -ne 0 ]; then
	cat "$dir/from" >&2
	exit $fed
fi
