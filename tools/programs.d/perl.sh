# what: files written, renamed and read, a module of the tree
# packages: perl
# prepare
mkdir lib; echo 'package M; sub f { $_[0] * 2 } 1;' >lib/M.pm
# run
perl -Ilib -MM -e 'print M::f(21), "\n"; open F, ">a" or die; print F "x\n"; close F; rename "a", "b" or die; print -s "b", "\n"; unlink "b"; print join(" ", sort glob("*")), "\n"'
