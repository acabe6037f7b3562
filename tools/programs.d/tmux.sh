# what: a server, a window, keys sent and what the screen shows
# packages: tmux
# run
export TERM=screen; tmux -S $PWD/s -f /dev/null new-session -d -x 80 -y 24 'sh'; tmux -S $PWD/s send-keys 'PS1=; clear; echo a$((40+2))b >out' Enter
for i in $(seq 100); do [ -s out ] && break; sleep 0.1; done; cat out; tmux -S $PWD/s list-windows -F '#{window_index}'; tmux -S $PWD/s kill-server; rm -f s
