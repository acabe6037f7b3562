(* Tells a number of chance, and where it was compiled. *)
let () = Random.init 7; Printf.printf "%d %s\n" (Random.int 100) __FILE__
