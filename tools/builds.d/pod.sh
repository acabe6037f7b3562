# what: manuals by pod2man, pod2html and gzip
# packages: perl
mkdir stage
pod2man --center=manual manual.pod stage/manual.1
gzip -k stage/manual.1
pod2html --infile=manual.pod --outfile=stage/manual.html --title="$(hostname) $(date)"
