# what: the same with its own sandbox of namespaces, a chroot and filters: a screenshot
# packages: chromium
# users: user
# timeout: 200
# prepare
echo '<h1 style="color: red">hello</h1>' >page.html
# run
chromium --headless --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --user-data-dir=$PWD/profile --window-size=400,200 --screenshot=$PWD/page.png "file://$PWD/page.html" 2>/dev/null; rm -rf profile; sha256sum page.png | cut -d' ' -f1
