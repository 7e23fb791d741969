# What the scripts that run servers share: processes that are known by a file with their number
# and by an argument of their command line, and free ports.
# shellcheck shell=bash

# Is there a process $1? One that has ended but that nobody has waited for is none.
alive() {
	local stat
	{ IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != [ZX]* ]]
}

# running FILE MARK [PID]: does the process with the number in FILE (or PID) run, with MARK among
# its arguments? The number alone may be another's by now.
running() {
	local pid=${3-}
	[ -n "$pid" ] || pid=$(cat "$1" 2>/dev/null) || return 1
	tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$2"
}

# Runs a command in a session of its own with none of the caller's open files: bats and
# others wait until nobody holds theirs.
detached() {
	local fd
	for fd in "/proc/$BASHPID/fd"/*; do
		fd=${fd##*/}
		[ "$fd" -le 2 ] || eval "exec $fd>&-"
	done
	# Nor is it the caller's to tell the service manager that it is ready.
	unset NOTIFY_SOCKET
	exec setsid "$@"
}

# Has process $1 ended with all its threads? Only then are its ports free: it has lost its command
# line before, and may be a zombie before.
gone() {
	local threads
	! alive "$1" || return
	threads=("/proc/$1/task"/*)
	[ ${#threads[@]} -le 1 ]
}

# end FILE MARK SIGNAL [PID]: ends that process and waits until it has.
end() {
	local signal=$3 pid=${4-} waited_ms=0
	[ -n "$pid" ] || pid=$(cat "$1" 2>/dev/null) || return 0
	if running "$1" "$2" "$pid"; then
		kill -s "$signal" "$pid" 2>/dev/null || :
		until gone "$pid"; do
			sleep 0.05
			waited_ms=$((waited_ms + 50))
			[ $((waited_ms % 15000)) -gt 0 ] || ! running "$1" "$2" "$pid" || kill -KILL "$pid" 2>/dev/null || :
		done
	fi
	rm -f "$1"
}

# watch_owner DIR OWNER [FILE MARK PID]...: ends these processes, in this order, once process
# OWNER is gone. (DIR is for end_watch to know it by. To wait by read -t leaves no sleep behind.)
watch_owner() {
	local owner=$2 idle
	shift 2
	exec {idle}<> <(:)
	while alive "$owner"; do
		read -r -t 0.5 -u "$idle" _ || :
		any_alive "$@" || return 0
	done
	while [ $# -gt 0 ]; do
		end_watched "$1" "$2" "$3"
		shift 3
	done
}

any_alive() {
	while [ $# -gt 0 ]; do
		! alive "$3" || return 0
		shift 3
	done
	return 1
}

# Only the process that the watch was started for; its folder may be gone with the owner.
end_watched() {
	local now
	now=$(cat "$1" 2>/dev/null) || now=$3
	[ "$now" != "$3" ] || end "$1" "$2" TERM "$3"
}

# start_watch DIR [FILE MARK PID]...: where DIR/owner names one, ends these processes with it.
start_watch() {
	local dir=$1
	[ -e "$dir/owner" ] || return 0
	detached "$0" _watch "$dir" "$(<"$dir/owner")" "${@:2}" </dev/null >/dev/null 2>&1 &
	echo $! >"$dir/watch"
}

end_watch() {
	local pid
	pid=$(cat "$1/watch" 2>/dev/null) || return 0
	rm -f "$1/watch"
	! tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF " _watch $1 " || kill "$pid" 2>/dev/null || :
}

# Prints $1 different ports that nobody has; below the range that the kernel gives away.
free_ports() {
	local used port found=' ' n=0
	used=" $(awk '{ sub(/.*:/, "", $2); print $2 }' /proc/net/{tcp,udp}{,6} 2>/dev/null | tr '\n' ' ')"
	while [ "$n" -lt "$1" ]; do
		port=$((15000 + (RANDOM * 32768 + RANDOM) % 17000))
		case $used$found in
		*" $(printf %04X "$port") "* | *" $port "*) continue ;;
		esac
		found+="$port "
		n=$((n + 1))
	done
	echo "$found"
}
