# what: events of a command counted
# packages: linux-perf
# traps: notify
# run
perf stat -x, -e task-clock true 2>&1 | grep -c task-clock
