# what: an edit in batch, with a backup
# packages: emacs-nox
# prepare
printf 'one\ntwo\n' >text
# run
emacs -Q --batch text --eval '(progn (goto-char (point-max)) (insert "three\n") (setq version-control t) (save-buffer))' 2>/dev/null; cat text; ls
