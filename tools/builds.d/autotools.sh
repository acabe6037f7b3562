# what: configure, make, make install
# packages: gcc make
./configure --prefix=/usr
make
make DESTDIR="$PWD/stage" install
