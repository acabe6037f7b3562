# what: a package of a directory installed and run
# packages: npm
# commands: npm node
# prepare
mkdir lib app; echo '{"name":"lib","version":"1.0.0","bin":{"cli":"cli.js"}}' >lib/package.json; echo 'module.exports = n => n * 2' >lib/index.js
printf '#!/usr/bin/env node\nconsole.log("cli", require("./index")(21))\n' >lib/cli.js; chmod 755 lib/cli.js
echo '{"name":"app","version":"1.0.0","dependencies":{"lib":"file:../lib"}}' >app/package.json; echo 'console.log(require("lib")(4))' >app/main.js
# run
export npm_config_cache=$PWD/cache; cd app; npm install --offline --install-links --no-audit --no-fund --loglevel=error >/dev/null; node main.js; node_modules/.bin/cli; ls node_modules; rm -rf ../cache node_modules package-lock.json
