# what: Makefile.PL, make, make install
# packages: perl gcc make
perl Makefile.PL INSTALLDIRS=vendor </dev/null
make
make install DESTDIR="$PWD/stage"
