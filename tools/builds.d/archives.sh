# what: the tree as tar, zip, cpio and ar, as the file system lists it
# packages: zip cpio binutils
mkdir stage
tar cf stage/all.tar Psr debian
zip -qr stage/all.zip Psr debian
find Psr debian -print | cpio --quiet -o >stage/all.cpio
ar rcU stage/all.a $(find Psr -name '*.php')
