# what: a repository, two archives, a check and an extraction
# packages: borgbackup
# env: BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
# prepare
mkdir data; for i in $(seq 100); do echo $i >data/$i; done
# run
export BORG_BASE_DIR=$PWD/base; borg init -e none repo; borg create repo::one data; echo x >data/1; rm data/2
borg create repo::two data; borg check repo; mkdir out; cd out; borg extract ../repo::one; ls data | wc -l; cat data/1; cd ..
borg delete repo::one; borg list --format '{archive}{NL}' repo; rm -rf repo base out
