# what: TypeScript to JavaScript, with declarations and source maps
# packages: node-typescript
mkdir stage
tsc --outDir stage --declaration --sourceMap --target es2019 --lib es2019 *.ts
