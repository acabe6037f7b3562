# what: a server on a socket
# packages: memcached socat
# run
memcached -s $PWD/s -u $(id -un) & pid=$!; for i in $(seq 100); do [ -S s ] && break; sleep 0.1; done
printf 'set a 0 0 3\r\nabc\r\nget a\r\nquit\r\n' | socat - UNIX-CONNECT:s | tr -d '\r'; kill $pid; wait $pid || :; rm -f s
