# what: a repository by file://, a working copy, merge and clean-up
# packages: subversion
# prepare
svnadmin create repo; svn mkdir -q -m dirs "file://$PWD/repo/trunk"
# run
svn checkout -q "file://$PWD/repo/trunk" wc; cd wc; for i in 1 2 3; do echo $i >f$i; done; svn add -q f?; svn commit -q -m one
svn rm -q f1; svn mv -q f2 g2; svn commit -q -m two; svn update -q -r 2; ls; svn update -q; ls; svn status; svn info --show-item revision
cd ..; svnadmin verify -q repo; svnlook youngest repo; rm -rf wc repo
