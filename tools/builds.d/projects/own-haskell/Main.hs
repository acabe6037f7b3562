{-# LANGUAGE CPP #-}
-- Tells when it was compiled.
module Main (main) where

main :: IO ()
main = putStrLn (unwords [__DATE__, __TIME__, __FILE__])
