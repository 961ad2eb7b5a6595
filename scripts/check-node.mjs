// Says in one line that this Node is too old, before anything that only a newer one can read is loaded.
// Plain JavaScript of 2020: it has to run where the rest does not.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `Node ${process.version} is too old: use Node >= 22.19, or let npm run install scripts (npm ci --ignore-scripts=false), which brings Node 24.`,
  );
  process.exit(1);
}
