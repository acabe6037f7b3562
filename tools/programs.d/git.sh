# what: commits, merge, clone, gc of a repository that the lower has
# packages: git
# ignore: \.git/index$
# prepare
git init -q -b main .; git config user.name A; git config user.email a@example.org
mkdir d; for i in $(seq 200); do echo $i >d/$i; done; git add .; git commit -qm one
git checkout -qb side; git rm -q d/7; echo x >>d/8; git commit -qam two; git checkout -q main
# run
echo y >>d/9; git commit -qam three; git merge -q side -m merged; git log --format=%T
git checkout -q HEAD~1; git checkout -q main; git status --short; git gc -q --prune=now; git fsck --full
git clone -q . $TMPDIR/clone; git -C $TMPDIR/clone status --short; rm -rf $TMPDIR/clone; git worktree add -q wt side
git -C wt log --format=%s; git worktree remove wt; git stash list; rm -rf .git
