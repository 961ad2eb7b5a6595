// A QR code as one path of an inline picture: of a device login's address, never of an authorize URL (a phone's
// localhost is not the pod).
import { encode } from 'uqr';
import { html, type Markup } from '../html.ts';

/** @param label what a reader who cannot see it is told */
export function qrCode(text: string, label: string): Markup {
  const { data, size } = encode(text, { border: 2, ecc: 'M' });
  let path = '';
  for (const [y, row] of data.entries()) {
    for (const [x, isDark] of row.entries()) if (isDark) path += `M${x} ${y}h1v1h-1z`;
  }
  return html`<svg class="qr" role="img" aria-label="${label}" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><rect
width="${size}" height="${size}" fill="#fff"/><path d="${path}" fill="#000"/></svg>`;
}
