# Streams the image from the host onto a block device.
# $1 device, $2 dd output flags or "", $3 URL of the part that is whole sectors,
# $4 URL of the rest or "", $5 offset of the rest in bytes.
set -o pipefail
get() {
	if command -v curl >/dev/null; then curl -fsS "$1"; else wget -q -O - "$1"; fi
}
device=$1
# write tells a device that refuses from a network that fails.
write() {
	dd of="$device" "$@" && return
	failed=$?
	echo "dutflash-dd-failed $failed"
	return $failed
}
if [ -n "$3" ]; then
	get "$3" | write bs=1048576 iflag=fullblock conv=notrunc $2 || exit
fi
if [ -n "$4" ]; then
	get "$4" | write bs=4096 iflag=fullblock conv=notrunc seek="$5" oflag=seek_bytes || exit
fi
