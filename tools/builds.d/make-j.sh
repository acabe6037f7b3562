# what: an archive and a generated list by several processes at one time, with temporary names
# packages: gcc make
make -j4
mkdir stage
cp all.a names stage
