# what: a package built and unpacked
# packages: dpkg-dev
# prepare
mkdir -p p/DEBIAN p/usr/share/demo; echo data >p/usr/share/demo/data; printf 'Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: d\n' >p/DEBIAN/control
chmod 755 p p/DEBIAN p/usr p/usr/share p/usr/share/demo
# run
dpkg-deb -b --root-owner-group p demo.deb >/dev/null; dpkg-deb -c demo.deb | awk '{print $1, $2, $6}'; dpkg-deb -x demo.deb out; find out | sort; rm -rf out demo.deb
