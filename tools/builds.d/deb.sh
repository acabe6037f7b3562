# what: a Debian package by dpkg-deb, and its tree as squashfs
# packages: dpkg squashfs-tools
mkdir -p stage/tree/DEBIAN stage/tree/usr/share
cp control stage/tree/DEBIAN
cp -r files stage/tree/usr/share/own
dpkg-deb -Zgzip --root-owner-group -b stage/tree stage/own.deb
mksquashfs stage/tree stage/own.squashfs -quiet -no-progress -all-root
