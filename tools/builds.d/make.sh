# what: a plain Makefile; what it makes is taken by name
# packages: gcc make
make CFLAGS='-O2 -g'
mkdir stage
cp -r $files stage
