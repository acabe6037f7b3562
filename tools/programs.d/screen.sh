# what: a detached session, a command in it
# packages: screen
# run
export SCREENDIR=$PWD/sd TERM=vt100; mkdir -m 700 sd; screen -dmS x sh -c 'echo in screen >out; sleep 100'; for i in $(seq 100); do [ -s out ] && break; sleep 0.1; done
cat out; screen -S x -X quit; rm -rf sd
