# Reads a block device in pieces as the host asks for them and sends them to it.
# The host decides; this script reads, digests, packs, sends and reports.
# $1 device, $2 URL of the session, $3 dd input flags, $4 digest program,
# $5 what sends: curl, nc or wget, $6 host, $7 port and $8 path of the session for
# nc, then the names of the workers, which run side by side.
device=$1 url=$2 in_flags=$3 digest=$4 via=$5 host=$6 port=$7 path=$8
shift 8
set -o pipefail
if [ -z "$in_flags" ]; then # what is not on the medium yet goes there
	sync
	echo 3 >/proc/sys/vm/drop_caches || exit
fi
dir=$(mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT

# pack compresses file $2 into $2.packed.
pack() {
	case $1 in
	none) mv "$2" "$2.packed" ;;
	gzip) gzip -1 -c <"$2" >"$2.packed" 2>/dev/null || gzip -c <"$2" >"$2.packed" ;;
	lz4) lz4 -1 -c <"$2" >"$2.packed" ;;
	zstd) zstd -1 -c <"$2" >"$2.packed" ;;
	*) return 64 ;;
	esac
}

# post sends file $2 as an HTTP request of our own, because busybox's wget ends a
# body at the first NUL; nc takes any byte.
post() {
	size=$(wc -c <"$2") || return
	{
		printf 'POST %s/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' "$path" "$1" "$host:$port" "$size"
		cat "$2"
	} | ${limit:+$limit 900} nc "$host" "$port" >"$2.answer" || return
	read -r version code rest <"$2.answer" || return
	[ "$code" = 204 ] || { echo "the host answered $version $code $rest" >&2 && return 1; }
}

# deliver sends file $2 to the place of worker $1.
deliver() {
	case $via in
	curl) curl -fsS -o /dev/null --connect-timeout 10 --max-time 900 -H 'Expect:' -T "$2" "$url/$1" ;;
	nc) post "$1" "$2" ;;
	wget) base64 <"$2" >"$2.text" && ${limit:+$limit 900} wget -q -O /dev/null --post-file "$2.text" "$url/$1" ;;
	*) return 64 ;;
	esac
}

worker() {
	report= file=$dir/$1
	while task=$(ask "$1" "$report"); do
		set -- "$1" $task
		# $2 number of the task, $3 verb, $4 and $5 what it needs
		said= status=0
		case $3 in
		read)
			if dd if="$device" bs=1048576 skip="$4" count="$5" $in_flags >"$file" 2>"$file.dd"; then
				said=$($digest <"$file") && said=${said%% *},$(($(wc -c <"$file"))) || status=$?
			else
				status=$?
				cat "$file.dd" >&2
			fi
			;;
		send)
			pack "$4" "$file" && deliver "$1" "$file.packed" || status=$?
			# What was packed stays for another try.
			[ "$4" != none ] || mv "$file.packed" "$file"
			;;
		wait)
			sleep "$4"
			;;
		quit)
			return "$4"
			;;
		*)
			status=64
			;;
		esac
		report="task=$2&status=$status&sum=$said"
	done
	return 1
}
