# what: install, mktemp, sort of large files, split, cp --reflink, shred, truncate
# packages: coreutils
# prepare
seq 20000 >n
# run
install -Dm 640 n a/b/n; stat -c %a a/b/n; sort -S 100K -r n | head -1; split -l 5000 n part.; cat part.* | cmp - n && echo same; cp --reflink=auto --sparse=always n s; truncate -s 1M s; stat -c %s s
mktemp -d tmp.XXXX | wc -c; shred -u s; rmdir tmp.*; ln -srf n link; readlink link; du -k --apparent-size n | cut -f1; tac n | head -1; rm -r a part.*
