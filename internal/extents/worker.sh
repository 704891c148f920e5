# Runs the tasks that the host hands out, until it says quit. The host decides;
# this script reads, writes and reports. It needs nothing but a small busybox.
# $1 device, $2 URL of the session, $3 dd input flags, or "drop" where dd cannot
# read past the page cache, $4 dd output flags, $5 a directory for what is to be
# digested, or empty, then the names of the workers, which run side by side.
device=$1 url=$2 in_flags=$3 out_flags=$4 scratch=$5
shift 5
set -o pipefail
mib=1048576
usual=$((4 * mib)) # most chunks have this size

# Where dd reads through the page cache, what is in there is dropped before: else
# what is read back is what was to be written, and not what the medium holds. Only
# clean pages can be dropped, so that all is flushed first; what is written here is
# flushed with it.
drop=: drop_odd="eval echo 3 2>/dev/null >/proc/sys/vm/drop_caches"
if [ "$in_flags" = drop ]; then
	in_flags= drop="eval echo 3 >/proc/sys/vm/drop_caches"
	sync
	$drop || {
		echo "dd has no iflag=direct and /proc/sys/vm/drop_caches cannot be written: nothing can be read back past the page cache" >&2
		exit 1
	}
fi

# Where the directory is in memory, what is digested goes through a file there: to
# change between two processes for each 64 KiB of a pipe takes up to a third longer.
# What a script that was killed left there goes first.
dir= kind=
if [ -n "$scratch" ]; then
	while read -r _ at type _; do
		case $scratch/ in "${at%/}"/*) kind=$type ;; esac
	done </proc/mounts
	case $kind in
	rootfs | ramfs | tmpfs)
		rm -rf "$scratch"/dutflash-extents.*
		dir=$(mktemp -d "$scratch/dutflash-extents.XXXXXX" 2>/dev/null) && trap 'rm -rf "$dir"' EXIT
		;;
	esac
fi

# One worker reads while the others digest: side by side they would come to read at the
# same time, and then to digest at the same time. Whose turn it is has the only line of
# a FIFO. Who has waited for a minute goes without: a worker may have died in its turn.
take_turn() { :; }
pass_turn() { :; }
if [ -n "$dir" ] && mkfifo "$dir/turn" 2>/dev/null; then
	exec 8<>"$dir/turn"
	take_turn() { read -r -t 60 _ 2>/dev/null <&8; }
	pass_turn() { echo >&8; }
	pass_turn
fi

# Chunks that a block map cuts do not begin at a whole MiB. Where dd counts in
# bytes, it still moves 1 MiB at a time; else in blocks that the offset allows.
in_bytes= out_bytes= pipe_bytes=
if dd if=/dev/null of=/dev/null iflag=skip_bytes,count_bytes oflag=seek_bytes 2>/dev/null; then
	in_bytes=iflag=skip_bytes,count_bytes out_bytes=oflag=seek_bytes pipe_bytes=,count_bytes
fi
block_at() {
	block=$mib
	while [ $(($1 % block)) -ne 0 ]; do block=$((block / 2)); done
}

# each_range calls $1 with offset and length of each range in $2, which has the
# form offset:length+offset:length, and with "more" before the last.
each_range() {
	ranges=$2
	while [ "$ranges" != "${ranges#*+}" ]; do
		range=${ranges%%+*} ranges=${ranges#*+}
		$1 "${range%:*}" "${range#*:}" more || return
	done
	$1 "${ranges%:*}" "${ranges#*:}" ""
}

# read_range prints $2 bytes of the device from offset $1, and where $3 is empty ends
# the subshell that it must be in, which saves a process. What is no whole number of
# blocks is read up to the next and cut; what head leaves is drained, or dd would end
# by a broken pipe. Where the device does not take direct I/O at an odd offset,
# busybox's dd goes on without it, and without a word.
read_range() {
	[ $(($1 % 4096)) -eq 0 ] || $drop_odd
	block_at "$1"
	become=
	[ -n "$3" ] || become=exec
	if [ $block -eq $mib ] && [ $(($2 % mib)) -eq 0 ]; then
		$become dd if="$device" bs=$mib skip=$(($1 / mib)) count=$(($2 / mib)) $in_flags 2>/dev/null
	elif [ -n "$in_bytes" ] && [ $(($2 % 4096)) -eq 0 ]; then
		$become dd if="$device" bs=$mib $in_bytes skip="$1" count="$2" $in_flags 2>/dev/null
	elif [ -n "$in_bytes" ]; then
		dd if="$device" bs=$mib $in_bytes skip="$1" count=$((($2 + 4095) / 4096 * 4096)) $in_flags 2>/dev/null |
			{ head -c "$2" && cat >/dev/null; }
	elif [ $(($2 % block)) -eq 0 ]; then
		dd if="$device" bs=$block skip=$(($1 / block)) count=$(($2 / block)) $in_flags 2>/dev/null
	else
		dd if="$device" bs=$block skip=$(($1 / block)) count=$((($2 + block - 1) / block)) $in_flags 2>/dev/null |
			{ head -c "$2" && cat >/dev/null; }
	fi
}

# hash_units prints what $digest says of the units in $1, which commas separate, and a
# comma after those that could be read as a whole; what it says before a "!" does not
# count. $2 is the worker.
hash_units() {
	units=$1,
	while [ -n "$units" ]; do
		if [ -d "$dir" ]; then
			hash_files "$dir/$2" && continue
			# There may be no room for it: that is tried once, by one of the workers.
			echo "!"
			rm -rf "$dir"
		fi
		unit=${units%%,*} units=${units#*,}
		each_range read_range "$unit" | $digest && echo , || return
	done
}

# hash_files digests the first of $units by files whose names begin with $1. Two
# of the usual size go together, which saves processes.
hash_files() {
	rest=$units files=
	take_turn
	if is_usual "${rest%%,*}"; then
		for n in 1 2; do
			is_usual "${rest%%,*}" && fill "$1.$n" || break
			files="$files $1.$n" rest=${rest#*,}
		done
	else
		for n in 1 2; do : >"$1.$n"; done
		(each_range read_range "${rest%%,*}") >"$1.odd" && files=$1.odd
		rest=${rest#*,}
	fi
	pass_turn
	[ -n "$files" ] && $digest $files && echo , || return
	[ "$files" != "$1.odd" ] || : >"$files"
	units=$rest
}

# is_usual says whether a unit has the usual size, in one piece and at a whole MiB,
# and puts its offset into $at.
is_usual() {
	at=${1%:$usual}
	case $at in "$1" | *+*) return 1 ;; esac
	[ $((at % mib)) -eq 0 ]
}

# fill reads the usual size at $at into the file $1, which has that size or is not there
# yet. It keeps its memory, which costs as much to get as the reading. What dd says
# tells that nothing in it is what was there before.
fill() {
	said=$(LC_ALL=C dd if="$device" bs=$mib skip=$((at / mib)) count=$((usual / mib)) $in_flags 2>&1 1<>"$1") || return
	case $said in *"$((usual / mib))+0 records out"*) ;; *) return 1 ;; esac
}

# time_digests digests a file of zeros by $1 and by $2 in turn and prints the program, how
# many blocks of 256 KiB and how many hundredths of a second of the processor's time,
# which does not count what else goes on. It does so three times, or until one was clearly
# quicker at its best. What is over too soon for that clock is done again with 16 MiB. $3 is
# the file.
time_digests() {
	n=16
	while dd if=/dev/zero of="$3" bs=262144 count=$n 2>/dev/null; do
		x=1000000 y=1000000
		for round in 1 2 3; do
			time_digest "$1" "$3" || return
			[ $took -gt $x ] || x=$took
			time_digest "$2" "$3" || return
			[ $took -gt $y ] || y=$took
			[ $((x + y)) -ge 15 ] || continue
			[ $((4 * x)) -lt $((5 * y + 4)) ] && [ $((4 * y)) -lt $((5 * x + 4)) ] || break
		done
		[ $((x + y)) -lt 10 ] && [ $n -lt 64 ] || break
		n=$((n * 4))
	done
	rm -f "$3"
}

time_digest() {
	used && begun=$used && $1 <"$2" >/dev/null && used && took=$((used - begun)) && echo "$1:$n:$took,"
}

# used sets $used to the processor's time of this shell's children until now: cutime and
# cstime in proc(5).
used() {
	read -r stat </proc/self/stat && set -- ${stat##*)} && used=$((${14} + ${15}))
}

# write_range copies the next $2 bytes of standard input to offset $1 of the device;
# where $3 is empty, all that is left of it. Direct I/O takes whole sectors only. What
# more is to follow is flushed with it. Status 74 says that it was the device that
# failed, and not what the data came from.
write_range() {
	direct=$out_flags seek_flag=
	[ $((($1 | $2) % 4096)) -eq 0 ] || direct=
	block_at "$1"
	at=$(($1 / block))
	[ $block -eq $mib ] || [ -z "$out_bytes" ] || seek_flag=$out_bytes block=$mib at=$1
	if [ -z "$3" ]; then
		dd of="$device" bs=$block seek="$at" iflag=fullblock conv=notrunc,fsync $seek_flag $direct 2>&1 || return 74
	elif [ -n "$pipe_bytes" ]; then
		dd of="$device" bs=$block seek="$at" count="$2" iflag=fullblock$pipe_bytes conv=notrunc $seek_flag $direct 2>&1 || return 74
	else
		write_blocks "$1" "$2"
	fi
}

# write_blocks is write_range for a dd that counts in blocks only.
write_blocks() {
	at=$1 left=$2
	while [ "$left" -gt 0 ]; do
		block_at $at
		while [ $block -gt "$left" ]; do block=$((block / 2)); done
		count=$((left / block))
		dd of="$device" bs=$block seek=$((at / block)) count=$count iflag=fullblock conv=notrunc $direct 2>&1 || return 74
		at=$((at + count * block)) left=$((left - count * block))
	done
}

worker() {
	report=
	while task=$(ask "$1" "$report"); do
		set -- "$1" $task
		# $2 number of the task, $3 verb, $4 its argument, $5 where, $6 digest or seconds
		said= digest=$6
		case $3 in
		hash)
			lines=$($drop && hash_units "$5" "$1")
			status=$?
			sums=
			for word in $lines; do
				case $word in
				,) said=$said$sums sums= ;;
				!) sums= ;;
				- | */*) ;; # the name that goes with a digest
				*) sums=$sums$word, ;;
				esac
			done
			;;
		time)
			[ -z "$dir" ] || for word in $(time_digests "${6%,*}" "${6#*,}" "$dir/$1.time"); do said=$said$word; done
			status=0
			;;
		write)
			said=$(fetch "$url/data?task=$2" "$6" | each_range write_range "$5")
			status=$?
			;;
		zero)
			said=$(head -c "$4" /dev/zero | each_range write_range "$5")
			status=$?
			;;
		wait)
			sleep "$4"
			status=0
			;;
		quit)
			return "$4"
			;;
		*)
			status=64
			;;
		esac
		case $3 in
		hash | time) ;;
		*)
			[ $status -eq 0 ] || echo "task $2, $3 at $5: status $status: $said" >&2
			said=
			;;
		esac
		report="task=$2&status=$status&sum=$said"
	done
	return 1
}
