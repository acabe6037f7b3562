# what: a database with a write-ahead log, four writers, a killed one
# packages: sqlite3
# ignore: \.db(-wal|-shm)?$
# prepare
sqlite3 old.db "pragma journal_mode=wal; create table t(x); insert into t values (1),(2),(3)"
# run
for i in 1 2 3 4; do (for j in 1 2 3 4 5; do sqlite3 -cmd '.timeout 60000' old.db "insert into t values ($i$j)"; done) & done; wait
mkfifo in; sqlite3 old.db <in >out & pid=$!; exec 3>in; echo 'begin immediate; insert into t values (99); select count(*) from t;' >&3
while ! [ -s out ]; do sleep 0.1; done; kill -9 $pid; wait $pid || :; exec 3>&-; cat out; rm in out
sqlite3 -cmd '.timeout 60000' old.db "select count(*), sum(x) from t; pragma integrity_check"
