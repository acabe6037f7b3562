# what: autoconf's configure from its source
# packages: autoconf automake
autoreconf -fi
mkdir stage
cp -r configure Makefile.in config.h.in stage
./configure --prefix=/usr
make
cp program config.h config.log stage
