# what: a key, a signature and its check, by the agent
# packages: gnupg
# ignore: ^g/
# timeout: 120
# run
export GNUPGHOME=$PWD/g; mkdir -m 700 g; gpg -q --batch --passphrase '' --quick-gen-key 'T <t@example.org>' ed25519 sign never 2>/dev/null
echo text >f; gpg -q --batch --detach-sign f; gpg -q --batch --verify f.sig f 2>&1 | grep -c Good; gpg --batch --list-keys --with-colons 2>/dev/null | grep -c ^pub
gpgconf --kill all; rm -rf g f.sig
