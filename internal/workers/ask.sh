# What the scripts that run workers begin with. Each has the URL of its session in $url.

# fetch prints a URL, within $2 seconds. wget's own -T crashes Debian's
# busybox-static 1.35, so the limit comes from timeout where there is one; else
# it is wget's default of 15 minutes.
limit=
command -v timeout >/dev/null && limit="timeout"
fetch() {
	if command -v curl >/dev/null; then
		curl -fsS --connect-timeout 10 --max-time "$2" "$1"
	else
		${limit:+$limit $2} wget -q -O - "$1"
	fi
}

# ask reports how the last task of a worker ended and gets its next one. The
# host answers a repeated question with the same task, so that a lost answer
# costs nothing.
ask() {
	tries=0
	while ! fetch "$url/task?worker=$1&$2" 60; do
		tries=$((tries + 1))
		[ $tries -lt 20 ] || return 1
		sleep 1
	done
}
