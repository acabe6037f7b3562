# what: a package installed, asked for and removed in a root of its own (chroot), as an Arch has them
# packages: pacman-package-manager busybox-static
# users: root fake
# prepare
mkdir -p root/usr/bin root/usr/lib root/usr/lib64 root/var/lib/pacman root/etc root/tmp root/dev package/usr/share/one
for name in bin:usr/bin sbin:usr/bin lib:usr/lib lib64:usr/lib64; do ln -s "${name#*:}" "root/${name%:*}"; done
cp /bin/busybox root/usr/bin/sh
for file in /usr/bin/pacman $(ldd /usr/bin/pacman | grep -o '/[^ ]* (' | tr -d '('); do mkdir -p "root/usr/${file%/*}" && cp -n "$file" "root/$file"; done
printf 'pkgname = one\npkgver = 1-1\narch = any\nsize = 3\n' >package/.PKGINFO
echo hi >package/usr/share/one/file; chmod 640 package/usr/share/one/file
printf 'post_install() {\necho made >/usr/share/one/made\n}\n' >package/.INSTALL
tar -C package --owner 0 --group 0 -cf root/one-1-1-any.pkg.tar .PKGINFO .INSTALL usr
touch root/etc/pacman.conf
# run
pac() { chroot root pacman --noconfirm "$@" 2>&1; }
pac -U /one-1-1-any.pkg.tar | grep -v '^$' | tail -1; pac -Q; pac -Ql one; stat -c '%a %u:%g %n' root/usr/share/one/*; pac -R one | tail -1; ls root/usr/share; pac -Q | wc -l; rm -rf root/var/lib/pacman
