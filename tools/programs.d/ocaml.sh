# what: a native program of two modules
# packages: ocaml-nox
# timeout: 200
# prepare
echo 'let f x = x * 2' >m.ml; echo 'let () = print_endline (string_of_int (M.f 21))' >p.ml
# run
ocamlfind ocamlopt -o p m.ml p.ml 2>/dev/null || ocamlopt -o p m.ml p.ml; ./p; rm -f p ./*.cm? ./*.cmx ./*.o
