# what: a compilation missed, then hit
# packages: ccache gcc libc6-dev
# prepare
echo 'int x;' >x.c
# run
export CCACHE_DIR=$PWD/c; ccache gcc -c x.c; rm x.o; ccache gcc -c x.c; ccache -s | grep -E '^ *(Hits|Misses):' | head -2 | tr -s ' '; rm -rf c x.o
