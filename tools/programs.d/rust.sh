# what: a crate built, tested and run by cargo
# packages: cargo
# timeout: 400
# prepare
mkdir src; printf '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n' >Cargo.toml; printf 'fn f(x: i32) -> i32 { x * 2 }\nfn main() { println!("{}", f(21)); }\n#[test] fn t() { assert_eq!(f(2), 4); }\n' >src/main.rs
# run
export CARGO_HOME=$PWD/c; cargo -q run --offline; cargo -q test --offline 2>&1 | grep -c 'test result: ok'; cargo -q clean; rm -rf c target Cargo.lock
