# what: Emacs Lisp, compiled to bytes
# packages: emacs-nox
mkdir stage
emacs -Q --batch -f batch-byte-compile *.el
cp *.elc stage
