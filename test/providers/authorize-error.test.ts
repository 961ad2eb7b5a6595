import t from 'tap';
import { authorizeError } from '../../src/providers/authorize-error.ts';
import { holdsNone } from './_rejections.ts';

const error_description = 'DESCRIBED at length';

t.test('a callback without error is none', async (t) => {
  t.equal(authorizeError(new URLSearchParams({ code: 'c', error_description })), undefined);
});

t.test('access_denied is authorize_denied', async (t) => {
  const error = authorizeError(new URLSearchParams({ error: 'access_denied', error_description }));
  t.equal(error?.code, 'authorize_denied');
  t.strictSame(error?.details, { providerCode: 'access_denied' });
  if (error) holdsNone(t, error, ['DESCRIBED']);
});

t.test('access_denied for want of a Codex entitlement is authorize_denied, and says who can help', async (t) => {
  const parameters = new URLSearchParams({ error: 'access_denied', error_description: 'x: missing_codex_entitlement' });
  const error = authorizeError(parameters);
  t.equal(error?.code, 'authorize_denied');
  t.match(error?.details.reason, /administrator of the workspace must enable it/);
});

for (const code of ['server_error', 'invalid_request', 'consent_required', 'missing_codex_entitlement']) {
  t.test(`${code} is authorize_failed with the provider's code`, async (t) => {
    const error = authorizeError(new URLSearchParams({ error: code, error_description }));
    t.equal(error?.code, 'authorize_failed');
    t.strictSame(error?.details, { providerCode: code });
  });
}

t.test('an error that repeats the state or the code is authorize_failed without one', async (t) => {
  for (const error of ['the-state-itself', 'x:the-code-itself']) {
    const parameters = new URLSearchParams({ error, state: 'the-state-itself', code: 'the-code-itself' });
    t.strictSame(authorizeError(parameters)?.details, {});
  }
});

t.test('an error that is no code is authorize_failed without one', async (t) => {
  for (const code of ['', '<script>alert(1)</script> x', 'a\nb', 'é']) {
    const error = authorizeError(new URLSearchParams({ error: code }));
    t.equal(error?.code, 'authorize_failed');
    t.strictSame(error?.details, {});
  }
});
