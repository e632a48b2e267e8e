#!/bin/sh
# Passes (0) if a directory is made through a notification. 77: this system cannot do it. Other statuses: it failed.
dir=$(mktemp -du /tmp/smoke.XXXXXX)
transcript=$($RUN ${PROGRAM-seccomp-notify-min} -K "$dir" /bye)
status=$?
echo "$transcript"
rmdir "$dir" 2> /dev/null
[ "$status" = 0 ] || exit "$status"
case $transcript in
    *'SUCCESS: mkdir(2) returned'*) ;;
    *) echo 'no directory was made' && exit 1 ;;
esac
