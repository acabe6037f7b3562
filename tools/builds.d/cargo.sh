# what: a Rust program by cargo, without network
# packages: cargo
mkdir stage
cargo build --release --offline
cp target/release/$program stage
