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

# Hands signals on to process $1: those named after it.
hand_on() {
  local to=$1 name
  shift
  for name; do
    # shellcheck disable=SC2064  # the name of this turn
    trap "kill -$name $to 2> /dev/null || true" "$name"
  done
}
