# what: a page's screenshot without a window, with its own sandbox
# packages: firefox-esr
# timeout: 200
# ignore: ^(profile|home)
# prepare
echo '<h1 style="color: red">hello</h1>' >page.html
# run
mkdir home profile; export HOME=$PWD/home MOZ_DISABLE_AUTO_SAFE_MODE=1
firefox-esr --headless --no-remote --profile $PWD/profile --window-size=400,200 --screenshot $PWD/page.png "file://$PWD/page.html" >/dev/null 2>&1
rm -rf profile home; sha256sum page.png | cut -d' ' -f1
