# what: a data directory made, a table filled, the server killed and recovered
# packages: mariadb-server
# users: user
# ignore: ^data(/|$)
# timeout: 300
# prepare
mariadb-install-db --no-defaults --datadir=$PWD/data --auth-root-authentication-method=normal >/dev/null 2>&1
# run
start() { mariadbd --no-defaults --datadir=$PWD/data --socket=$PWD/s --skip-networking --pid-file=$PWD/pid >/dev/null 2>&1 &
  for i in $(seq 300); do mariadb-admin --no-defaults -S $PWD/s -u root ping >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }
sql() { mariadb --no-defaults -S $PWD/s -u root -N -e "$1"; }
start; sql 'create database d; create table d.t (x int); insert into d.t values (1),(2),(3)'; kill -9 $(cat pid); wait || :
start; sql 'select count(*), sum(x) from d.t'; mariadb-admin --no-defaults -S $PWD/s -u root shutdown; wait; rm -f s pid
