# what: a static shell and its tools
# packages: busybox-static
# prepare
mkdir -p d/e; echo x >d/f; ln -s d/f s
# run
busybox sh -c 'cp -a d c; mv c/e c/g; rm -r d; sed -i s/x/y/ c/f; cat c/f; find . | sort; tar cf t c; tar tf t | sort; ls -l s | cut -c1; rm t'
