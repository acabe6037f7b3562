# what: a tree copied, changed and synchronised with links, modes and times
# packages: rsync
# prepare
mkdir -p a/d/e; for i in $(seq 300); do echo $i >a/d/$i; done; ln a/d/1 a/d/e/hard; ln -s ../1 a/d/e/sym; chmod 600 a/d/2
# run
rsync -aH a/ b/; rm a/d/1?; echo more >>a/d/3; rsync -aH --delete --itemize-changes a/ b/ | sort
rsync -aHn --itemize-changes a/ b/ | wc -l; stat -c '%h %a' b/d/e/hard b/d/2
