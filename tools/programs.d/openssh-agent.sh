# what: keys made, an agent and what it holds
# packages: openssh-client
# run
ssh-keygen -q -t ed25519 -N '' -C c -f key; eval $(ssh-agent -a $PWD/s) >/dev/null; ssh-add -q key; ssh-add -l | cut -d' ' -f1,3-
ssh-add -D 2>&1; ssh-agent -k >/dev/null; while [ -S s ]; do sleep 0.1; done; ls; rm -f key key.pub
