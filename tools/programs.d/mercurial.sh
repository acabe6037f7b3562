# what: commits, a branch, an update and a bundle
# packages: mercurial
# env: HGPLAIN=1
# prepare
hg init .; for i in $(seq 50); do echo $i >f$i; done; hg add -q; hg commit -q -u a -d '0 0' -m one
# run
hg rm f1; hg mv f2 g2; echo x >>f3; hg commit -q -u a -d '1 0' -m two; hg log --template '{rev} {node|short} {desc}\n'
hg update -q 0; ls | wc -l; hg update -q tip; hg bundle -q --all $TMPDIR/b; hg verify -q; hg status; rm $TMPDIR/b; rm -rf .hg
