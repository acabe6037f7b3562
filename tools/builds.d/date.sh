# what: gcc with __DATE__, __TIME__ and __FILE__, a static library, and a tar archive
# packages: gcc make
make
mkdir stage
cp program libparts.a source.tar.gz stage
