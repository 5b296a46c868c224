# shellcheck shell=bash
# Read by scripts that start something beside themselves, hand signals on to it, and wait for it.

# Waits until process $1 has ended, whatever signals come meanwhile; its status.
await() {
  local status
  while :; do
    status=0
    wait "$1" || status=$?
    [ "$status" -gt 128 ] || return "$status"
    # It may have been a signal that ended the waiting, and not the process.
    kill -0 "$1" 2> /dev/null || { wait "$1"; return; }
  done
}
