# what: an edit in place, with a swap file; the mode stays
# packages: vim-tiny
# prepare
printf 'one\ntwo\nthree\n' >text; chmod 640 text
# run
vim.tiny -u NONE -es -c 'set backup backupdir=. directory=.' -c '2s/two/TWO/' -c 'wq' text || :; cat text; stat -c %a text; ls -A
