import t from 'tap';
import { createExemptions } from '../../src/egress/exemptions.ts';

/** The list, a destination, and whether it goes straight. */
const table: readonly (readonly [list: string, host: string, port: number, isExempt: boolean])[] = [
  ['', 'api.example', 443, false],
  ['*', 'api.example', 443, true],
  ['other.example, *', 'api.example', 443, true],
  ['*:80', 'api.example', 443, false],
  ['*:80', 'api.example', 80, true],
  // a host, and what is below it
  ['api.example', 'api.example', 443, true],
  ['api.example', 'API.Example', 443, true],
  ['API.example', 'api.example', 443, true],
  ['api.example', 'api.example.', 443, true],
  ['api.example.', 'api.example', 443, true],
  ['api.example', 'v1.api.example', 443, true],
  ['api.example', 'notapi.example', 443, false],
  ['api.example', 'api.example.evil.example', 443, false],
  ['pi.example', 'api.example', 443, false],
  // a suffix: below it alone
  ['.example', 'api.example', 443, true],
  ['.example', 'a.b.example', 443, true],
  ['.example', 'example', 443, false],
  ['*.example', 'api.example', 443, true],
  ['*.example', 'example', 443, false],
  ['.svc,.cluster.local', 'redis.default.svc', 6379, true],
  // ports
  ['api.example:8443', 'api.example', 8443, true],
  ['api.example:8443', 'api.example', 443, false],
  ['.example:8443', 'api.example', 8443, true],
  ['.example:8443', 'api.example', 443, false],
  ['10.1.2.3:8443', '10.1.2.3', 8443, true],
  ['10.1.2.3:8443', '10.1.2.3', 443, false],
  ['[fd00::1]:8443', '[fd00::1]', 8443, true],
  ['[fd00::1]:8443', 'fd00::1', 443, false],
  // addresses and ranges
  ['10.1.2.3', '10.1.2.3', 443, true],
  ['10.1.2.3', '10.1.2.30', 443, false],
  ['10.0.0.0/8', '10.1.2.3', 443, true],
  ['10.0.0.0/8', '11.1.2.3', 443, false],
  ['10.0.0.0/8', '[::ffff:10.1.2.3]', 443, true],
  ['10.1.2.3/32', '10.1.2.4', 443, false],
  ['0.0.0.0/0', '8.8.8.8', 443, true],
  ['fd00::/8', '[fd12::1]', 443, true],
  ['fd00::/8', 'fe80::1', 443, false],
  ['fd00::1', '[fd00:0::1]', 443, true],
  ['[fd00::1]', 'fd00::1', 443, true],
  ['10.0.0.0/8', 'ten.example', 443, false],
  // lists
  ['a.example,b.example', 'b.example', 443, true],
  ['a.example, b.example', 'b.example', 443, true],
  ['a.example b.example', 'b.example', 443, true],
  [' ,, b.example ,', 'b.example', 443, true],
  // what is nothing exempts nothing
  ['10.0.0.0/33', '10.1.2.3', 443, false],
  ['10.0.0.0/', '10.1.2.3', 443, false],
  ['10.0.0.0/8/8', '10.1.2.3', 443, false],
  ['api.example:99999x', 'api.example', 443, false],
  ['http://api.example', 'api.example', 443, false],
  // this machine, whatever the list says
  ['', 'localhost', 8080, true],
  ['', 'LOCALHOST.', 8080, true],
  ['', 'app.localhost', 8080, true],
  ['', '127.0.0.1', 8080, true],
  ['', '127.9.9.9', 8080, true],
  ['', '[::1]', 8080, true],
  ['', '::1', 8080, true],
  ['', '[::ffff:127.0.0.1]', 8080, true],
  ['', '[::ffff:7f00:1]', 8080, true],
  ['', '0.0.0.0', 8080, true],
  ['', '[::]', 8080, true],
  ['', 'localhost.example', 8080, false],
  ['', '128.0.0.1', 8080, false],
];

t.test('noProxy exempts what it is commonly understood to, and loopback always', async (t) => {
  for (const [list, host, port, isExempt] of table) {
    t.equal(createExemptions(list)(host, port), isExempt, `"${list}" ${host}:${port}`);
  }
});
