# what: what npm packs, and a bundle that a script of node makes
# packages: nodejs
mkdir stage
npm pack --offline --ignore-scripts --pack-destination stage
if [ -f build.js ]; then node build.js stage; fi
