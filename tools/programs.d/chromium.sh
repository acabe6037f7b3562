# what: a page rendered without a window
# packages: chromium
# timeout: 200
# ignore: ^profile
# prepare
echo '<h1 id=x>a</h1><script>document.getElementById("x").textContent = 6 * 7</script>' >page.html
# run
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --user-data-dir=$PWD/profile --dump-dom "file://$PWD/page.html" 2>/dev/null | grep -o '<h1.*</h1>'; rm -rf profile
