#!/bin/sh
# Runs in the image's build, last in a step: gives files one time, so that a rebuild gives the same ones.
#   settle.sh SECONDS [FOLDER ...]      everything in the folders
#   settle.sh SECONDS --newer MARKER    what the step made: the files newer than MARKER, which goes away
#
# Layers of dependencies have one time for ever: with that of the commit they would be built anew at each commit. Our own
# code has the commit's.
set -eu
seconds=$1
shift
if [ "$1" = --newer ]; then
    # Caches and logs say when and where a step ran.
    rm -rf /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old /var/log/*.log /var/log/apt /etc/machine-id
    find / -xdev -newer "$2" -not -path '/proc/*' -not -path '/sys/*' -not -path '/dev/*' -not -path '/run/*' \
        -exec touch --no-dereference --date="@$seconds" {} + 2>/dev/null || true
    rm -f "$2"
else
    find "$@" -exec touch --no-dereference --date="@$seconds" {} +
fi
