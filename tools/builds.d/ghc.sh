# what: Cabal's Setup with ghc
# packages: ghc
runghc Setup configure --prefix=/usr --disable-library-profiling
runghc Setup build
runghc Setup copy --destdir="$PWD/stage"
