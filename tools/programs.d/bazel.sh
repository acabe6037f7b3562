# what: a target built in a sandbox of its own mounts, pids and network
# packages: bazel-bootstrap default-jdk-headless
# users: root user
# timeout: 200
# ignore: ^(home|root|bazel-)
# prepare
touch WORKSPACE; echo hello >in
echo 'genrule(name = "a", srcs = ["in"], outs = ["out"], cmd = "cat $(SRCS) >$@; id -u >>$@; ls / | grep -c usr >>$@")' >BUILD
# run
mkdir home; export HOME=$PWD/home
bazel --batch --output_user_root=$PWD/root build --spawn_strategy=linux-sandbox //:a >home/log 2>&1 || cat home/log; cat bazel-bin/out; grep -c '1 linux-sandbox' home/log; chmod -R u+w root; rm -rf home root bazel-*
