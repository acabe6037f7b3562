# what: OCaml by dune
# packages: ocaml-nox ocaml-dune ocaml-findlib
dune build -j1 -p "$package" @install
dune install -p "$package" --destdir "$PWD/stage" --prefix /usr
