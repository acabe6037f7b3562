# what: two modules compiled and run
# packages: ghc
# timeout: 300
# prepare
printf 'module M where\nf :: Int -> Int\nf x = x * 2\n' >M.hs; printf 'import M\nmain :: IO ()\nmain = print (f 21)\n' >Main.hs
# run
ghc -v0 --make Main.hs -o p; ./p; touch M.hs; ghc -v0 --make Main.hs -o p; ./p; rm -f p ./*.o ./*.hi
