#!/bin/sh
# Set every file's mtime to one time, so that a rebuild gives identical files. Runs last in a step of the image's build.
#   normalize-mtimes.sh SECONDS FOLDER ...        everything in the folders
#   normalize-mtimes.sh SECONDS --newer MARKER    files newer than MARKER (those the step wrote); then removes MARKER
#
# Dependencies get a fixed time: with the commit's time, their layers would change at each commit. Our own code gets the
# commit's time.
set -eu
seconds=$1
shift
if [ "$1" = --newer ]; then
    # Remove caches and logs: they record when and where the step ran.
    rm -rf /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old /var/log/*.log /var/log/apt /etc/machine-id
    find / -xdev -newer "$2" -not -path '/proc/*' -not -path '/sys/*' -not -path '/dev/*' -not -path '/run/*' \
        -exec touch --no-dereference --date="@$seconds" {} + 2>/dev/null || true
    rm -f "$2"
else
    find "$@" -exec touch --no-dereference --date="@$seconds" {} +
fi
