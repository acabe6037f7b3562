# what: configure, make, make install
# packages: gcc make autoconf automake libtool texinfo
[ -x configure ] || autoreconf -fi
./configure --prefix=/usr
make
make DESTDIR="$PWD/stage" install
