# what: an OCaml program by ocamlopt
# packages: ocaml-nox
mkdir stage
ocamlopt -g -o stage/program *.ml
