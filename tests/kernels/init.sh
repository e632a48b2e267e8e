#!/bin/busybox sh
# The first process of the virtual machine. It runs each case with a time limit and prints the case's report between markers. The
# host checks the report. cases.rs replaces @CASES@ by the cases' functions and @NAMES@ by their names. With an argument, the
# script runs this case.

PATH=/bin
P=/seccomp-notify-min
YAMA=/proc/sys/kernel/yama/ptrace_scope

# The functions that the cases use. A case sets `status`, and writes facts to descriptor 3.

run() {
    "$P" "$@"
    status=$?
}
as_user() {
    su user -c "exec $*"
    status=$?
}
yama() {
    if ! echo "$1" >$YAMA; then
        echo "ptrace_scope is $(cat $YAMA) and cannot be set to $1" >&3
    fi
}
facts() {
    for path; do
        if [ -e "$path" ]; then stat -c '%n: %F %a %U' "$path"; else echo "$path: absent"; fi
    done >&3
}
# Starts a run in the background. await and number_of read its output, collect prints it.
background() {
    # Empty the file first, so that await does not read the output of an earlier case.
    : >/run/kept.out
    "$P" "$@" >/run/kept.out 2>/run/kept.err 3>&- &
    job=$!
}
await() {
    tries=500
    until grep -q "$1" /run/kept.out; do
        tries=$((tries - 1))
        # A process that has ended has no /proc/PID/exe.
        if [ $tries = 0 ] || [ ! -e "/proc/$job/exe" ]; then
            grep -q "$1" /run/kept.out || echo "no '$1' came" >&3
            break
        fi
        usleep 20000
    done
}
number_of() {
    sed -n "s/^$1: PID = //p" /run/kept.out
}
collect() {
    wait "$job"
    status=$?
    cat /run/kept.out
    cat /run/kept.err >&2
}
# The PIDs of the processes that run the program or a helper.
ours() {
    ls -l /proc/[0-9]*/exe 2>/dev/null |
        sed -n 's,.* /proc/\([0-9]*\)/exe -> .*\(seccomp-notify-min\|under-filter\|unreadable\|watch\).*,\1,p'
}
# Waits up to three seconds until there are no such processes.
await_none() {
    tries=150
    while [ -n "$(ours)" ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        usleep 20000
    done
}

# A promise about the transcript: runs all its plans at the same time, and records every write. The records are compressed, since
# they repeat themselves.
watched() {
    status=0
    jobs=
    for plan in /watched/"$1".*; do
        /watch "$plan" >"/run/records.${plan##*.}" 3>&- &
        jobs="$jobs $!"
    done
    for job in $jobs; do
        wait "$job" || status=$?
    done
    cat /run/records.* | gzip -c | base64 -w 0
    rm /run/records.*
    find /tmp >&3
}

@CASES@

if [ $# = 1 ]; then
    status=
    "case_$1" "$1"
    exit "$status"
fi

/bin/busybox --install -s /bin
mkdir -p /etc /proc /run
mount -t proc proc /proc
mkdir -p /dev
mount -t devtmpfs devices /dev
printf 'root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n' >/etc/passwd

echo
echo "@@release $(uname -r) $(uname -v)"
for name in @NAMES@; do
    rm -rf /tmp /made
    mkdir -m 1777 /tmp
    timeout -s KILL 60 /init "$name" >/run/out 2>/run/err 3>/run/facts </dev/null
    ended=$?
    await_none
    left=$(ours)
    for process in $left; do
        kill -KILL "$process"
    done
    echo "@@case $name"
    for what in out err facts; do
        echo "@@$what $(base64 -w 0 /run/$what)"
    done
    echo "@@left" $left
    echo "@@end $ended"
done
echo "@@done"
poweroff -f
