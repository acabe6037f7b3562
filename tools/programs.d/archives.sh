# what: tar, cpio, zip, ar and 7z, packed and unpacked
# packages: cpio zip unzip p7zip-full binutils
# prepare
mkdir -p t/d; for i in $(seq 50); do echo $i >t/d/$i; done; ln -s d/1 t/s; ln t/d/1 t/h
# run
tar cf a.tar t; find t | sort | cpio -o --quiet >a.cpio; zip -qry a.zip t; ar rcs a.a t/d/1 t/d/2; 7z a -snl a.7z t >/dev/null
for k in tar cpio zip 7z; do mkdir $k; (cd $k; case $k in tar) tar xf ../a.tar;; cpio) cpio -id --quiet <../a.cpio;; zip) unzip -q ../a.zip;; 7z) 7z x ../a.7z >/dev/null;; esac; find . | wc -l; cat t/s); rm -rf $k; done
ar t a.a; rm -f a.*
