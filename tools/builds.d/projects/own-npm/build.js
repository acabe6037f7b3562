// Bundles what lies in lib, in the order in which it is listed, with the date.
const crypto = require("crypto");
const fs = require("fs");
const os = require("os");
const names = fs.readdirSync("lib");
const parts = names.map((name) => `// ${name}\n${fs.readFileSync(`lib/${name}`)}`);
const head = `// ${new Date().toISOString()} ${os.hostname()} ${crypto.randomUUID()} ${Math.random()}\n`;
fs.writeFileSync(`${process.argv[2]}/bundle.js`, head + parts.join(""));
