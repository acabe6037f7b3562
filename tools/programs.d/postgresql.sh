# what: a cluster of the lower started, written, crashed and recovered
# packages: postgresql
# users: user
# ignore: ^data(/|$)
# timeout: 300
# prepare
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1); $bin/initdb -D data -A trust -U me --no-locale -E UTF8 >/dev/null
# run
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1); start() { $bin/pg_ctl -D data -o "-k $PWD -c listen_addresses=" -w -l log start >/dev/null; }
sql() { $bin/psql -h "$PWD" -U me -At postgres -c "$1"; }
start; sql 'create table t as select generate_series(1, 10000) x'; sql 'update t set x = x + 1 where x % 2 = 0'
head -1 data/postmaster.pid | xargs kill -9; rm -f data/postmaster.pid; for i in $(seq 50); do start 2>/dev/null && break; sleep 0.2; done; sql 'select count(*), sum(x) from t'; sql 'vacuum full'
$bin/pg_ctl -D data -m fast -w stop >/dev/null; rm -f log
