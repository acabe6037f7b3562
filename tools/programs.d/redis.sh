# what: an append-only file, a killed server, and what it reads again
# packages: redis-server redis-tools
# ignore: aof|rdb
# run
start() { redis-server --port 0 --unixsocket $PWD/s --appendonly yes --appendfsync always --dir $PWD --save '' >/dev/null & pid=$!
  for i in $(seq 200); do redis-cli -s s ping >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }
start; for i in $(seq 50); do redis-cli -s s set k$i $i >/dev/null; done; kill -9 $pid; wait || :; rm -f s
start; redis-cli -s s dbsize; redis-cli -s s get k50; redis-cli -s s bgrewriteaof >/dev/null; redis-cli -s s shutdown nosave; wait; rm -rf s appendonlydir
