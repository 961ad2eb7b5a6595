// The standard carrier's upstream side, where a whole proxy cannot be timed well enough.
import t from 'tap';
import type { AnswerListener } from '../../../src/proxy/message.ts';
import { createStandardUpstream } from '../../../src/proxy/standard/upstream.ts';
import { startRawUpstream } from '../_proxy.ts';

t.test('an attempt that is aborted before its connection stands sends nothing and reports nothing', async (t) => {
  let text = '';
  let connections = 0;
  const server = await startRawUpstream(t, (socket) => {
    connections += 1;
    socket.on('data', (chunk) => {
      text += chunk;
    });
  });
  const upstream = createStandardUpstream({
    origin: server.url,
    timeouts: { connectMs: 1000, headersMs: 0, idleMs: 0 },
    http2: 'never',
  });
  t.teardown(() => upstream.destroy());
  const reports: string[] = [];
  const report = (name: string) => () => void reports.push(name);
  const listener: AnswerListener = {
    bodyWanted: report('bodyWanted'),
    interim: report('interim'),
    answered: report('answered'),
    received: report('received'),
    ended: report('ended'),
    failed: report('failed'),
  };
  for (const hasBody of [false, true]) {
    const request = { method: 'PUT', path: '/', rawHeaders: ['Authorization', 'Bearer secret'], hasBody };
    const attempt = upstream.createAttempt(request, listener);
    attempt.start();
    attempt.abort();
  }
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.equal(connections > 0, true, 'there was a connection to send it on');
  t.equal(text, '');
  t.same(reports, []);
});
