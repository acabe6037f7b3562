# what: a Haskell program by ghc --make
# packages: ghc
mkdir stage
ghc -v0 -O -outputdir obj -o stage/program Main.hs
