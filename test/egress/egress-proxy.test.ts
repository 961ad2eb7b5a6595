import t from 'tap';
import { parseEgressProxy } from '../../src/egress/egress-proxy.ts';

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

t.test('the URL of an egress proxy is read, its user and password apart from its name', async (t) => {
  const table: readonly (readonly [string, object])[] = [
    ['http://proxy.example:3128', { isTls: false, host: 'proxy.example', port: 3128, authorization: undefined }],
    ['http://proxy.example:3128/', { host: 'proxy.example', port: 3128, name: 'proxy.example:3128' }],
    ['proxy.example:3128', { isTls: false, host: 'proxy.example', port: 3128 }],
    ['proxy.example', { port: 80, name: 'proxy.example:80' }],
    ['HTTPS://Proxy.example', { isTls: true, host: 'proxy.example', port: 443 }],
    ['http://[fd00::1]:3128', { host: 'fd00::1', port: 3128, name: '[fd00::1]:3128' }],
    ['http://me:p%40ss%3Aword@proxy.example:1', { name: 'proxy.example:1', authorization: basic('me:p@ss:word') }],
    ['me:word@proxy.example:1', { name: 'proxy.example:1', authorization: basic('me:word') }],
    ['http://me@proxy.example:1', { authorization: basic('me:') }],
    ['http://m%C3%A9:w@proxy.example:1', { authorization: basic('mé:w') }],
  ];
  for (const [text, expected] of table) t.match(parseEgressProxy(text), expected, text);
});

t.test('what is no URL of a proxy is refused', async (t) => {
  const wrong = [
    '',
    ' ',
    'http://',
    'socks5://proxy.example:1080',
    'http://proxy.example/path',
    'http://proxy.example?query',
    'http://proxy.example#fragment',
    'http://proxy.example:99999',
    'http://a b',
    'http:\\\\proxy.example',
    'http://me:%zz@proxy.example',
    'http://m%3Ae:word@proxy.example',
    'http://me:w@\nproxy.example',
  ];
  for (const text of wrong) t.equal(parseEgressProxy(text), undefined, JSON.stringify(text));
});
