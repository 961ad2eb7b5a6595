// `npm start`: one process from npm to the demo, so that Ctrl-C reaches it. Runs under any Node as far as the check.
import './check-node.mjs';

await import('../demo/start.ts');
